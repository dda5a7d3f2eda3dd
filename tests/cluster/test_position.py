"""A job that ended in the middle of an epoch goes on from there, in the data, too."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pytest

import tfps
from tests.cluster.conftest import NUM_WORKERS
from tests.cluster.processes import Processes, program
from tests.cluster.programs.counted import BATCH_SIZE, arguments_of_fit, counting_model, counts

pytestmark = [pytest.mark.timeout(180), pytest.mark.slow]

EXAMPLES, PASSES = 60, 3  # as in programs/ended.py
STEPS = EXAMPLES // BATCH_SIZE
KINDS = (
    *("dataset", "thirds", "repeated", "endless", "arrays", "generator", "pydataset", "function"),
    "shares",
)


@pytest.mark.parametrize(
    ("kind", "ends"),
    [
        ("dataset", (STEPS + 7,)),
        *((kind, (STEPS + 7, 5)) for kind in KINDS),
    ],
)
def test_each_example_is_trained_on_as_often_as_without_a_restart(
    strategy: tfps.ParameterServerStrategy,
    ours: Processes,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    kind: str,
    ends: Sequence[int],
) -> None:
    folder = str(tmp_path / "backup")
    for number, batches in enumerate(ends):
        process = ours.start(program("ended.py", kind, folder, str(batches)))
        assert process.wait(timeout=90) == 9, ours.err(number)
    with strategy.scope():
        model = counting_model(EXAMPLES)
    arguments = arguments_of_fit(kind, EXAMPLES, PASSES)
    backup = keras.callbacks.BackupAndRestore(folder)
    model.fit(**arguments, callbacks=[backup], verbose=2)

    [(epoch, steps)] = re.findall(
        r"^Epoch (\d+) goes on after (\d+) of its steps\.$", capsys.readouterr().out, re.MULTILINE
    )
    done = (int(epoch) - 1) * arguments.get("steps_per_epoch", STEPS) + int(steps)
    # Each process lost what it did after its last backup, which knew of other workers' batches.
    assert -2 * len(ends) <= done - sum(ends) <= NUM_WORKERS
    times = counts(model)
    if kind != "endless":  # of which the last batches may be others, without a restart, too
        assert np.min(times) == PASSES
    # A batch of another worker may have been in flight as the backup was made.
    more = np.sum(times) - PASSES * EXAMPLES
    assert 0 <= more <= len(ends) * (NUM_WORKERS - 1) * BATCH_SIZE
