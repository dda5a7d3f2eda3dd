"""The recipe models/bert_classifier.py from end to end, again, and from what it leaves."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from models.run_folder import RunFolder
from tests.cluster.recipes import run_recipe

SMALL = (
    *("--layers", "1", "--heads", "2", "--width", "16", "--sequence-length", "16"),
    *("--vocabulary-size", "300", "--batch-size", "8", "--steps-per-execution", "5"),
    *("--learning-rate", "5e-3"),
)


@pytest.fixture
def columns(tmp_path: Path) -> tuple[str, ...]:
    """A file of texts whose label is told by their words, as a recipe's arguments."""
    generator = np.random.default_rng(0)
    words = {"fruit": ["apple", "pear", "plum"], "tools": ["hammer", "saw", "drill"]}
    rows = [
        json.dumps({"kind": kind, "body": f"{number}: {' '.join(generator.choice(choice, 5))}"})
        for number in range(150)
        for kind, choice in words.items()
    ]
    (tmp_path / "things.jsonl").write_text("\n".join(rows))
    return "--data", "things.jsonl", "--text-column", "body", "--label-column", "kind"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_classes_are_learned_and_a_run_resumes(tmp_path: Path, columns: tuple[str, ...]) -> None:
    small = (*columns, *SMALL, "--name", "things")

    said = run_recipe("bert_classifier", tmp_path, *small, "--epochs", "2", "--no-compare")

    assert "epoch 2/2: held-out accuracy " in said
    assert re.search(r"^fruit +[01]\.\d{3} +\d+$", said, re.MULTILINE)
    assert "(most frequent class: accuracy 0." in said
    folder = RunFolder(tmp_path / "runs" / "things")
    assert folder.result_file.read_text() in said
    assert {path.name for path in folder.path.iterdir()} == {
        *("checkpoints", "classes.json", "config.json", "confusion.png", "history.csv"),
        *("loss.png", "preset", "result.txt", "tensorboard", "vocabulary.txt"),
    }
    assert "plum" in (folder.path / "vocabulary.txt").read_text().split()

    said = run_recipe("bert_classifier", tmp_path, *small, "--epochs", "3", "--compare")

    assert "resuming after epoch 2 of 3." in said
    assert "epoch 2/3" not in said
    assert [epoch["epoch"] for epoch in folder.history()] == [0, 1, 2]
    # The third epoch went on from what the second had reached.
    assert folder.history()[2]["loss"] < 0.5 * folder.history()[0]["loss"]
    comparison = (folder.path / "comparison.txt").read_text()
    assert comparison in said
    accuracies = re.findall(r"^  (?:tfps|plain Keras) +accuracy ([\d.]+)", comparison, re.MULTILINE)
    assert len(accuracies) == 2
    assert min(map(float, accuracies)) > 0.8


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_lora_starts_from_what_a_run_left(tmp_path: Path, columns: tuple[str, ...]) -> None:
    preset = tmp_path / "runs" / "first" / "preset"
    run_recipe(
        "bert_classifier",
        tmp_path,
        *columns,
        *SMALL,
        "--epochs",
        "2",
        "--no-compare",
        "--name",
        "first",
    )

    arguments = ("--preset", str(preset), "--lora-rank", "2", "--epochs", "1", "--name", "lora")
    arguments += ("--no-compare",)
    said = run_recipe("bert_classifier", tmp_path, *columns, *SMALL, *arguments)

    (accuracy,) = re.findall(r"epoch 1/1: held-out accuracy ([\d.]+)", said)
    assert float(accuracy) > 0.8
    left = tmp_path / "runs" / "lora"
    assert (left / "vocabulary.txt").read_text() == (
        preset / "assets" / "tokenizer" / "vocabulary.txt"
    ).read_text()
