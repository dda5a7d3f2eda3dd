"""The recipe models/bert_classifier.py from end to end, resumed, and from the preset of a run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from models.lib.run_folder import RunFolder
from tests.cluster.recipes import run_recipe

SMALL = (
    *("--layers", "1", "--heads", "2", "--width", "16", "--sequence-length", "16"),
    *("--vocabulary-size", "300", "--batch-size", "8", "--steps-per-execution", "5"),
    *("--learning-rate", "5e-3"),
)


@pytest.fixture
def columns(tmp_path: Path) -> tuple[str, ...]:
    """Return arguments that name a file of texts whose words determine the label."""
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

    output = run_recipe("bert_classifier", tmp_path, *small, "--epochs", "2", "--no-compare")

    assert "epoch 2/2: held-out accuracy " in output
    assert re.search(r"^fruit +[01]\.\d{3} +\d+$", output, re.MULTILINE)
    assert "(most frequent class: accuracy 0." in output
    folder = RunFolder(tmp_path / "runs" / "things")
    assert folder.result_file.read_text() in output
    assert {path.name for path in folder.path.iterdir()} == {
        *("checkpoints", "classes.json", "config.json", "confusion.png", "history.csv"),
        *("loss.png", "preset", "result.txt", "tensorboard", "vocabulary.txt"),
    }
    assert "plum" in (folder.path / "vocabulary.txt").read_text().split()

    output = run_recipe("bert_classifier", tmp_path, *small, "--epochs", "3", "--compare")

    assert "resuming after epoch 2 of 3." in output
    assert "epoch 2/3" not in output
    assert [epoch["epoch"] for epoch in folder.history()] == [0, 1, 2]
    # The third epoch continued from the weights of the second.
    assert folder.history()[2]["loss"] < 0.5 * folder.history()[0]["loss"]
    comparison = (folder.path / "comparison.txt").read_text()
    assert comparison in output
    accuracies = re.findall(r"^  (?:tfps|plain Keras) +accuracy ([\d.]+)", comparison, re.MULTILINE)
    assert len(accuracies) == 2
    assert min(map(float, accuracies)) > 0.8


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_lora_starts_from_the_preset_of_a_run(tmp_path: Path, columns: tuple[str, ...]) -> None:
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
    output = run_recipe("bert_classifier", tmp_path, *columns, *SMALL, *arguments)

    (accuracy,) = re.findall(r"epoch 1/1: held-out accuracy ([\d.]+)", output)
    assert float(accuracy) > 0.8
    folder = tmp_path / "runs" / "lora"
    assert (folder / "vocabulary.txt").read_text() == (
        preset / "assets" / "tokenizer" / "vocabulary.txt"
    ).read_text()
