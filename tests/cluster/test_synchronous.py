"""Synchronous updates on real ps: those of plain Keras on the concatenated batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import optimizers

from tests.cluster.conftest import NUM_WORKERS, MakeStrategy
from tfps.update import Synchronous

STEPS, BATCH, WIDTH = 24, 8, 5
OPTIMIZERS = {
    "SGD": lambda: optimizers.SGD(0.1),
    "Adam": lambda: optimizers.Adam(0.01),
}
MakeOptimizer = Callable[[], optimizers.Optimizer]


def examples() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(7)
    x = generator.normal(size=(NUM_WORKERS * STEPS * BATCH, WIDTH)).astype("float32")
    return x, np.sin(x).sum(axis=1, keepdims=True).astype("float32")


def data(context: tf.distribute.InputContext) -> tf.data.Dataset:
    """Deal the batches out, so that those of all workers are consecutive ones."""
    batches = tf.data.Dataset.from_tensor_slices(examples()).batch(BATCH)
    return batches.shard(context.num_input_pipelines, context.input_pipeline_id).repeat()


def make_model(optimizer: optimizers.Optimizer, **compiled: Any) -> keras.Model:
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [keras.Input((WIDTH,)), keras.layers.Dense(16, activation="tanh"), keras.layers.Dense(1)]
    )
    model.compile(optimizer, "mse", **compiled)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_all_workers_take_the_steps_of_plain_keras_on_their_batches(
    make_strategy: MakeStrategy, name: str
) -> None:
    with make_strategy(2, update=Synchronous()).scope():
        model = make_model(OPTIMIZERS[name]())
    history = model.fit(data, epochs=STEPS, steps_per_epoch=NUM_WORKERS, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == STEPS
    plain = make_model(OPTIMIZERS[name]())
    losses = []
    x, y = examples()
    size = NUM_WORKERS * BATCH
    for start in range(0, STEPS * size, size):
        losses.append(plain.evaluate(x[start : start + size], y[start : start + size], verbose=0))
        plain.train_on_batch(x[start : start + size], y[start : start + size])
    np.testing.assert_allclose(history.history["loss"], losses, atol=1e-5)


def test_many_steps_in_a_dispatch_are_the_same(make_strategy: MakeStrategy) -> None:
    with make_strategy(2, update=Synchronous()).scope():
        model = make_model(OPTIMIZERS["Adam"](), steps_per_execution=4)
    model.fit(data, steps_per_epoch=NUM_WORKERS * STEPS, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == STEPS
    plain = make_model(OPTIMIZERS["Adam"]())
    plain.fit(*examples(), batch_size=NUM_WORKERS * BATCH, shuffle=False, verbose=0)
    for ours, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_what_is_left_over_does_not_wait(make_strategy: MakeStrategy) -> None:
    with make_strategy(update=Synchronous()).scope():
        model = make_model(optimizers.SGD(0.1), steps_per_execution=3)
    updates = 0
    for steps in (1, 7):
        model.fit(data, epochs=2, steps_per_epoch=steps, verbose=0)
        updates += 2 * -(-steps // NUM_WORKERS)
        assert int(model.optimizer.iterations.numpy()) == updates
