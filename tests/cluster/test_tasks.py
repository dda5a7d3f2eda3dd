"""keras-nlp's tasks of text and images, made from scratch, learn under an unchanged fit."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.processes import processes


def rows(folder: Path, *arguments: str, timeout_s: float) -> list[dict[str, Any]]:
    """Run the benchmark and return the rows of its table."""
    found = folder / "found.json"
    with processes(folder) as ours:
        command = [sys.executable, "-m", "benchmarks.tasks", "--json", str(found), *arguments]
        assert ours.start(command).wait(timeout_s) == 0, ours.err()
    (table,) = json.loads(found.read_text())["tables"]
    return list(table["rows"])


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_language_model_and_an_image_classifier_learn_on_shards(tmp_path: Path) -> None:
    tasks = ("--only", "GemmaCausalLM", "ResNetImageClassifier")
    trained = rows(tmp_path, "--epochs", "5", *tasks, timeout_s=170)
    assert [row["task"] for row in trained] == ["GemmaCausalLM", "ResNetImageClassifier"]
    assert [row for row in trained if not (row["falls"] and row["sharded"])] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_task_learns_on_shards(tmp_path: Path) -> None:
    trained = rows(tmp_path, timeout_s=590)
    assert len(trained) == 9
    assert [row for row in trained if not (row["falls"] and row["sharded"])] == []
