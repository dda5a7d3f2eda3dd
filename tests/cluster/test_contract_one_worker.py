"""Keras's contract on one worker: tests/cluster/contract runs on two beside the other tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.cluster.processes import processes

CONTRACT = Path(__file__).parent / "contract"


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_the_contract_holds_on_one_worker(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CONTRACT)]
    environment = {**os.environ, "TFPS_TEST_WORKERS": "1"}
    with processes(tmp_path) as ours:
        code = ours.start(command, environment=environment).wait(590)
        assert code == 0, ours.out()
