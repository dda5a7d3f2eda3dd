"""One worker trains as plain Keras does, whatever the optimizer."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.cluster.processes import processes


@pytest.mark.timeout(280)
def test_one_worker_takes_the_steps_of_plain_keras(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    with processes(tmp_path) as ours:
        command = [sys.executable, "-m", "benchmarks.optimizers", "--json", str(found)]
        assert ours.start(command).wait(270) == 0, ours.err()
    (table,) = json.loads(found.read_text())["tables"]
    assert len(table["rows"]) == 31
    assert [row for row in table["rows"] if not row["within 1e-5"]] == []
