"""Policies by which workers keep parameters: a cache of bounded staleness, and local steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import optimizers

from tests.cluster.conftest import NUM_WORKERS, MakeStrategy
from tests.cluster.row_model import ROWS, row_model
from tfps import wire
from tfps.update import (
    Asynchronous,
    BoundedStaleness,
    DenseAndRows,
    ElasticAveraging,
    Local,
    SemiSynchronous,
    Synchronous,
)

SLOW = pytest.mark.slow
STEPS, BATCH = 64, 4
# An outer rate of 1: the differences of the only worker with data count whole.
ALONE, *ALONE_WITH_ROWS = (Local(steps, optimizers.SGD(1.0)) for steps in (4, 5, STEPS))
IDS = np.random.default_rng(3).integers(0, ROWS, STEPS * BATCH)
TARGETS = (IDS / ROWS).astype("float32")
OPTIMIZERS: dict[str, Callable[[], optimizers.Optimizer]] = {
    "loss scale": lambda: optimizers.LossScaleOptimizer(
        optimizers.SGD(
            optimizers.schedules.ExponentialDecay(0.1, 10, 0.9), weight_decay=1e-3, clipnorm=1.0
        ),
        initial_scale=8.0,
        dynamic_growth_steps=7,
    ),
    # Nadam has a number that all variables share.
    "schedule": lambda: optimizers.Nadam(
        optimizers.schedules.ExponentialDecay(0.02, 10, 0.9), clipnorm=1.0
    ),
}


def in_turn() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((IDS, TARGETS)).batch(BATCH)


def of_one_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
    """Give all data to the first worker."""
    data = in_turn()
    return data if context.input_pipeline_id == 0 else data.take(0)


def of_all_workers(context: tf.distribute.InputContext) -> tf.data.Dataset:
    return in_turn().shard(context.num_input_pipelines, context.input_pipeline_id).repeat()


def dense_model(optimizer: Any, **compiled: Any) -> keras.Model:
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((), dtype="int64"),
            keras.layers.CategoryEncoding(ROWS, output_mode="one_hot"),
            keras.layers.Dense(8, activation="tanh", kernel_constraint="non_neg"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(1),
        ]
    )
    model.compile(optimizer, "mse", **compiled)
    return model


def assert_same_weights(model: keras.Model, other: keras.Model, atol: float = 1e-5) -> None:
    pairs = zip(model.trainable_variables, other.trainable_variables, strict=True)
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=atol)


@pytest.mark.parametrize(
    ("update", "name", "steps_per_execution"),
    [
        pytest.param(BoundedStaleness(3), "loss scale", 5, marks=SLOW),
        (ALONE, "loss scale", 1),
        pytest.param(BoundedStaleness(3), "loss scale", 1, marks=SLOW),
        pytest.param(ALONE, "schedule", 5, marks=SLOW),
    ],
    ids=["cache-5", "local-1", "cache-1", "local-5"],
)
def test_one_workers_copy_takes_the_steps_of_plain_keras(
    make_strategy: MakeStrategy, update: Any, name: str, steps_per_execution: int
) -> None:
    make = OPTIMIZERS[name]
    with make_strategy(2, update=update).scope():
        model = dense_model(make(), steps_per_execution=steps_per_execution)
    plain = dense_model(make())
    model.set_weights(plain.get_weights())
    losses = model.fit(of_one_worker, epochs=2, verbose=0).history["loss"]
    expected = plain.fit(in_turn(), epochs=2, verbose=0, shuffle=False).history["loss"]
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    assert int(model.optimizer.iterations.numpy()) == 2 * STEPS
    assert_same_weights(model, plain, 1e-4)


def test_rows_of_a_local_copy_take_the_steps_of_plain_keras(make_strategy: MakeStrategy) -> None:
    with make_strategy(update=ALONE_WITH_ROWS[0]).scope():
        model = row_model(optimizers.SGD(0.1))
    plain = row_model(optimizers.SGD(0.1))
    model.fit(of_one_worker, verbose=0)
    plain.fit(in_turn(), verbose=0, shuffle=False)
    assert_same_weights(model, plain)


def test_slots_of_rows_of_a_local_copy_are_those_of_steps_in_turn(
    make_strategy: MakeStrategy,
) -> None:
    models = []
    # A worker pushes its share of the slots of rows: within one window that is all of them.
    for update in (ALONE_WITH_ROWS[1], None):
        with make_strategy(2, update=update).scope():
            models.append(row_model(optimizers.Adam(0.02)))
        models[-1].fit(of_one_worker, verbose=0)
    assert_same_weights(*models)


@pytest.mark.slow
def test_accumulated_gradients_move_a_cache_as_they_move_the_ps(
    make_strategy: MakeStrategy,
) -> None:
    models = []
    for update in (BoundedStaleness(4), None):
        with make_strategy(2, update=update).scope():
            models.append(dense_model(optimizers.Adam(0.01, gradient_accumulation_steps=3)))
        models[-1].fit(of_one_worker, verbose=0)
    assert_same_weights(*models)


def test_a_cache_is_pulled_once_in_so_many_steps(make_strategy: MakeStrategy) -> None:
    with make_strategy(2, update=BoundedStaleness(8)).scope():
        model = dense_model("sgd")
    [traffic] = model.fit(of_all_workers, steps_per_epoch=STEPS, verbose=0).traffic
    once = 4 * model.count_params()
    assert STEPS / 12 * once < sum(traffic.pull_bytes) < STEPS / 6 * once


@pytest.mark.parametrize(("bound", "steps_per_execution"), [pytest.param(0, 5, marks=SLOW), (1, 1)])
def test_no_cache_is_staler_than_its_bound(
    make_strategy: MakeStrategy, bound: int, steps_per_execution: int
) -> None:
    with make_strategy(2, update=BoundedStaleness(bound)).scope():
        model = row_model("sgd", steps_per_execution=steps_per_execution)
    history = model.fit(of_all_workers, epochs=2, steps_per_epoch=STEPS, verbose=0)
    for updates in history.updates:
        assert updates.max_staleness == bound
        assert updates.staleness.sum() == updates.updates == STEPS
        assert bound or updates.waited_s.sum() > 0


def test_local_steps_push_once_in_so_many_steps(make_strategy: MakeStrategy) -> None:
    moved = {}
    for steps in (1, 16):
        with make_strategy(update=Local(steps)).scope():
            model = dense_model("sgd")
        history = model.fit(of_all_workers, steps_per_epoch=STEPS, verbose=0)
        [traffic], [updates] = history.traffic, history.updates
        windows = STEPS // NUM_WORKERS // steps
        assert updates.updates == windows
        assert updates.staleness.sum(axis=1).tolist() == [windows] * NUM_WORKERS
        moved[steps] = (sum(traffic.pull_bytes) + sum(traffic.push_bytes)) / windows
    assert moved[1] == pytest.approx(moved[16], rel=0.02)
    assert moved[1] > NUM_WORKERS * 2 * 4 * model.count_params()


FAST = "Local, elastic, asynchronous"
LEARNING: dict[str, Any] = {
    FAST: Local(4, ElasticAveraging(0.9), Asynchronous()),
    "Local, momentum": Local(4, optimizers.SGD(0.7, momentum=0.5, nesterov=True)),
    "BoundedStaleness": BoundedStaleness(3),
    "Local": Local(4),
    "Local, quorum": Local(4, update=SemiSynchronous(quorum=1)),
    "Local, elastic": Local(4, ElasticAveraging(0.9)),
    "Local, asynchronous": Local(4, update=Asynchronous()),
    "Local, bounded": Local(4, update=Asynchronous(max_staleness=2)),
    "DenseAndRows, quorum": DenseAndRows(
        dense=SemiSynchronous(), rows=Asynchronous(max_staleness=4)
    ),
    "DenseAndRows, synchronous": DenseAndRows(),
}
CODED = {"pull": wire.Int8(), "push": wire.ErrorFeedback(wire.TopK(0.5)), "bucket_bytes": 64}


@pytest.mark.parametrize(
    "case", [case if case == FAST else pytest.param(case, marks=SLOW) for case in LEARNING]
)
def test_models_learn_with_rows_and_codecs(make_strategy: MakeStrategy, case: str) -> None:
    with make_strategy(2, update=LEARNING[case], **CODED).scope():
        model = row_model(optimizers.Adam(0.01), steps_per_execution=4)
    losses = model.fit(of_all_workers, epochs=4, steps_per_epoch=96, verbose=0).history["loss"]
    assert losses[-1] < 0.1 * losses[0]


def test_dense_gradients_in_step_and_rows_at_once(make_strategy: MakeStrategy) -> None:
    with make_strategy(2, update=DenseAndRows()).scope():
        model = row_model("sgd", steps_per_execution=5)
    [updates] = model.fit(of_all_workers, steps_per_epoch=STEPS, verbose=0).updates
    assert int(model.optimizer.iterations.numpy()) == STEPS // NUM_WORKERS
    assert updates.updates == STEPS // NUM_WORKERS
    # Each step counts for its whole variables on both ps, and for its rows.
    assert updates.measured.staleness.sum(axis=(1, 2)).tolist() == [2 * STEPS, 2 * STEPS]


REFUSED: dict[str, tuple[Any, Callable[[], optimizers.Optimizer], str]] = {
    "shared update": (Synchronous(), optimizers.Nadam, "Nadam has a number that all ps update"),
    "accumulation": (
        Local(2),
        lambda: optimizers.SGD(gradient_accumulation_steps=2),
        r"gradient_accumulation_steps=2\) with update=Local",
    ),
    "averages": (Local(2), lambda: optimizers.Adam(use_ema=True), r"Adam\(use_ema=True\) with"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_compile_refuses_what_cannot_be_combined(make_strategy: MakeStrategy, case: str) -> None:
    update, make, message = REFUSED[case]
    with (
        make_strategy(update=update).scope(),
        pytest.raises(NotImplementedError, match=message),
    ):
        dense_model(make())


@pytest.mark.parametrize("update", [BoundedStaleness(2), Local(2), DenseAndRows()])
def test_overlap_is_refused(make_strategy: MakeStrategy, update: Any) -> None:
    with pytest.raises(ValueError, match=r"overlap=True with update="):
        make_strategy(update=update, overlap=True)
