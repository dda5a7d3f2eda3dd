"""The cluster inside one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.processes import processes, program


@pytest.mark.timeout(90)
def test_strategies_share_one_embedded_cluster_and_do_not_disturb_each_other(
    tmp_path: Path,
) -> None:
    with processes(tmp_path) as ours:
        assert ours.start(program("embedded.py")).wait(60) == 0, ours.err()
        lines = ours.out().splitlines()
    assert lines[-1] == "[50, 50, 100, 100]"
    assert "cannot have one of 3 ps and 2 workers" in lines[0]
    assert "cannot have one of 2 ps and 1 workers" in lines[1]
    assert "at least 1 ps and 1 worker, not 0 and 2" in lines[2]
