"""One worker trains as plain Keras does, whatever the optimizer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cluster.processes import processes, program


@pytest.mark.timeout(200)
def test_the_loss_trace_of_one_worker_is_that_of_plain_keras(tmp_path: Path) -> None:
    with processes(tmp_path) as ours:
        assert ours.start(program("one_worker.py")).wait(190) == 0, ours.err()
        cases = [json.loads(line) for line in ours.out().splitlines()]
    assert len(cases) == 20
    for case in cases:
        np.testing.assert_allclose(
            case["tfps"], case["plain"], rtol=1e-5, atol=1e-5, err_msg=case["case"]
        )
        assert case["weights"] < 1e-4, case["case"]
        assert len(set(case["plain"])) == 10  # the parameters moved at each step
