"""Steps that pull and push while others compute."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.cluster.models_on_the_wire import (
    CLASSES,
    COUNTERS,
    IDS,
    SLOPE,
    bowl,
    classifier,
    run_steps,
    sloped,
)
from tfps import wire

pytestmark = pytest.mark.timeout(180)

SPARSE = wire.ErrorFeedback(wire.TopK(0.01))


def test_overlapped_steps_all_compute_push_and_count(make_strategy: Any) -> None:
    model = sloped(make_strategy(overlap=True), steps_per_execution=8)
    done = 0
    for steps in (1, 2, 3, 24):
        history = run_steps(model, steps)
        done += steps
        np.testing.assert_allclose(model.get_weights()[0], -done * SLOPE, rtol=1e-5)
        assert int(model.optimizer.iterations) == done
        assert sum(history.traffic[0].push_bytes) == 4 * SLOPE.size * steps
        assert sum(history.traffic[0].pull_bytes) == (4 * SLOPE.size + COUNTERS) * steps


@pytest.mark.slow
def test_overlapped_steps_learn_with_rows_statistics_and_codecs(make_strategy: Any) -> None:
    strategy = make_strategy(2, overlap=True, pull=wire.Cast(), push=SPARSE)
    model = classifier(strategy, steps_per_execution=5)
    history = model.fit(IDS, CLASSES, batch_size=8, epochs=25, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert int(model.optimizer.iterations) == 25 * 8


def test_overlapped_data_that_ends_within_a_call(make_strategy: Any) -> None:
    model = sloped(make_strategy(overlap=True), steps_per_execution=8)
    data = tf.data.Dataset.from_tensor_slices((np.ones((5, 1)), np.ones((5, 1)))).batch(1)
    model.fit(data, epochs=3, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], -15 * SLOPE, rtol=1e-5)


def test_overlapped_steps_have_the_numbers_of_steps_in_turn(make_strategy: Any) -> None:
    """A schedule, which reads the global step, sees each step's own."""

    class Harmonic(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            return 1.0 / (1.0 + keras.ops.cast(step, "float32"))

    model = sloped(make_strategy(overlap=True), rate=Harmonic(), steps_per_execution=6)
    run_steps(model, 6)  # one call: of one worker
    rates = sum(1 / (1 + n) for n in range(6))
    np.testing.assert_allclose(model.get_weights()[0], -rates * SLOPE, rtol=1e-5)


@pytest.mark.parametrize("overlap", [False, True])
def test_a_gradient_is_as_old_as_was_said(make_strategy: Any, overlap: bool) -> None:
    model = bowl(make_strategy(overlap=overlap), steps_per_execution=6)
    run_steps(model, 6)  # one call: of one worker
    values = [1.0]
    for step in range(6):
        values.append(values[-1] - 0.3 * values[step - min(step, int(overlap))])
    np.testing.assert_allclose(model.get_weights()[0], values[-1], rtol=1e-5)


@pytest.mark.parametrize("steps_per_execution", [1, pytest.param(2, marks=pytest.mark.slow), 6])
def test_the_staleness_that_overlap_adds_is_counted(
    make_strategy: Any, steps_per_execution: int
) -> None:
    model = sloped(make_strategy(overlap=True), steps_per_execution=steps_per_execution)
    history = run_steps(model, 12, epochs=2).history
    late = steps_per_execution - 1  # all steps of a call but its first
    assert history["added_staleness"] == [late / steps_per_execution] * 2


def test_steps_in_turn_add_no_staleness(make_strategy: Any) -> None:
    history = run_steps(sloped(make_strategy(), steps_per_execution=4), 8).history
    assert "added_staleness" not in history


def test_overlapped_accumulation(make_strategy: Any) -> None:
    strategy = make_strategy(overlap=True)
    model = sloped(strategy, steps_per_execution=4, gradient_accumulation_steps=2)
    history = run_steps(model, 4)
    np.testing.assert_allclose(model.get_weights()[0], -2 * SLOPE, rtol=1e-5)
    assert sum(history.traffic[0].push_bytes) == 2 * 4 * SLOPE.size
