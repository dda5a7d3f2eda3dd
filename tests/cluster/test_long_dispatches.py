"""Many steps of a small model in one call: several in each iteration of its loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.cluster.models_on_the_wire import (
    CLASSES,
    IDS,
    SLOPE,
    bowl,
    classifier,
    run_steps,
    sloped,
)

pytestmark = pytest.mark.timeout(180)


def test_each_step_comes_after_the_one_before_whatever_their_number(strategy: Any) -> None:
    model = bowl(strategy, steps_per_execution=16)
    done = 0
    for steps in (1, 2, 3, 4, 5, 6, 9, 16):  # one call each: of one worker
        run_steps(model, steps)
        done += steps
        np.testing.assert_allclose(model.get_weights()[0], 0.7**done, rtol=1e-5)
    assert int(model.optimizer.iterations) == done


def test_data_that_ends_within_a_call(strategy: Any) -> None:
    model = sloped(strategy, steps_per_execution=16)
    done = 0
    for batches in (1, 4, 7, 40):
        numbers = np.ones((batches, 1))
        data = tf.data.Dataset.from_tensor_slices((numbers, numbers)).batch(1)
        history = model.fit(data, epochs=3, verbose=0)
        done += 3 * batches
        np.testing.assert_allclose(model.get_weights()[0], -done * SLOPE, rtol=1e-5)
        pushed = [sum(traffic.push_bytes) for traffic in history.traffic]
        assert pushed == [4 * SLOPE.size * batches] * 3


def test_rows_statistics_and_seeds_go_from_step_to_step(strategy: Any) -> None:
    model = classifier(strategy, steps_per_execution=16)
    history = model.fit(IDS, CLASSES, batch_size=4, epochs=16, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert int(model.optimizer.iterations) == 16 * 16
