"""Training and evaluation give what plain Keras gives, whatever the optimizer or the metric."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.optimizers import CASES
from tests.cluster.processes import processes

pytestmark = pytest.mark.timeout(280)

# tests/unit/optimizer compares the update rules themselves; these are what runs around them.
OPTIMIZERS = ("EMA, overwriting", "MultiOptimizer", "ScheduleFreeAdamW")


def rows_of(benchmark: str, tmp_path: Path, *arguments: str) -> list[dict[str, Any]]:
    found = tmp_path / "found.json"
    with processes(tmp_path) as ours:
        command = [sys.executable, "-m", f"benchmarks.{benchmark}", "--json", str(found)]
        command += arguments
        assert ours.start(command).wait(270) == 0, ours.err()
    (table,) = json.loads(found.read_text())["tables"]
    rows: list[dict[str, Any]] = table["rows"]
    return rows


def test_one_worker_takes_the_steps_of_plain_keras(tmp_path: Path) -> None:
    rows = rows_of("optimizers", tmp_path, "--steps", "8", "--only", *OPTIMIZERS)
    assert [row["optimizer"] for row in rows] == sorted(OPTIMIZERS, key=list(CASES).index)
    assert [row for row in rows if not row["within 1e-5"]] == []


@pytest.mark.slow
def test_one_worker_takes_the_steps_of_every_optimizer(tmp_path: Path) -> None:
    rows = rows_of("optimizers", tmp_path)
    assert len(rows) == 32
    assert [row for row in rows if not row["within 1e-5"]] == []


@pytest.mark.slow
def test_metrics_over_three_workers_are_those_of_plain_keras(tmp_path: Path) -> None:
    rows = rows_of("metrics", tmp_path)
    assert len(rows) == 46
    assert [row for row in rows if not row["within 1e-5"]] == []
