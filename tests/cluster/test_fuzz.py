"""Random models train on parameter servers as in plain Keras: a sample of benchmarks.fuzz."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.cluster.processes import processes

SEEDS = 48
LIMIT_S = 1500


@pytest.mark.slow
@pytest.mark.timeout(LIMIT_S + 60)
def test_random_models_train_as_in_plain_keras(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    command = [sys.executable, "-m", "benchmarks.fuzz", "--seeds", str(SEEDS), "--json", str(found)]
    with processes(tmp_path) as ours:
        code = ours.start(command).wait(LIMIT_S)
        assert code == 0, ours.out()[-8000:]
    _, each = json.loads(found.read_text())["tables"]
    outcomes = [row["outcome"] for row in each["rows"]]
    assert len(outcomes) == SEEDS
    assert outcomes.count("equal") > SEEDS / 2
