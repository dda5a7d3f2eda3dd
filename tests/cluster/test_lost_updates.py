"""Updates that all workers push at the same time: none is lost, whatever optimizer or policy."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import optimizers

from benchmarks.lost_updates import Counting
from tests.cluster.conftest import NUM_WORKERS, MakeStrategy
from tfps.update import (
    Asynchronous,
    BoundedStaleness,
    DenseAndRows,
    Local,
    Policy,
    SemiSynchronous,
    Synchronous,
)

pytestmark = pytest.mark.timeout(180)

STEPS = 300
BATCH = np.array([[3, 1]]), np.zeros((1, 1), "float32")


class Sum(keras.Model):
    """Has a gradient of 1 for two rows of a table, and for all of two variables."""

    def __init__(self) -> None:
        super().__init__()
        self.table = keras.layers.Embedding(4, 8, embeddings_initializer="ones")
        self.small = self.add_weight(shape=(4,), initializer="ones", name="small")
        self.large = self.add_weight(shape=(80, 80), initializer="ones", name="large")
        self.table.build()
        self.built = True

    def call(self, ids: Any) -> Any:
        sums = [keras.ops.sum(self.table(ids)), keras.ops.sum(self.small)]
        return keras.ops.reshape(sum(sums) + keras.ops.sum(self.large), (1, 1))


def touched(value: np.ndarray) -> np.ndarray:
    """Return the rows that are looked up, if `value` is of the table."""
    return value[[1, 3]] if value.shape == (4, 8) else value


def trained(optimizer: optimizers.Optimizer) -> Sum:
    model = Sum()
    model.compile(optimizer, lambda _, y: keras.ops.mean(y), steps_per_execution=25)
    # Plain Keras's fit does not keep what ScheduleFreeAdamW assigns to a slot when it is built.
    model.optimizer.build(model.trainable_variables)
    model.fit(tf.data.Dataset.from_tensors(BATCH).repeat(), steps_per_epoch=STEPS, verbose=0)
    return model


def test_each_update_counts_in_slots_averages_and_weights(make_strategy: MakeStrategy) -> None:
    with make_strategy(2).scope():
        model = trained(Counting(1.0, use_ema=True, ema_momentum=0.5))
    assert int(model.optimizer.iterations) == STEPS
    weights, average = 1 - np.cumsum(np.arange(1.0, STEPS + 1)), 0.0
    for number, weight in enumerate(weights):
        average = weight if number == 0 else 0.5 * average + 0.5 * weight
    for count, weight in zip(model.optimizer.counts, model.get_weights(), strict=True):
        np.testing.assert_array_equal(touched(count.numpy()), STEPS)
        # At the end of training, Keras sets the weights to their averages.
        np.testing.assert_allclose(touched(weight), average, rtol=1e-6)


STOCK = {
    "SGD": lambda: optimizers.SGD(0.01),
    "momentum": lambda: optimizers.SGD(0.01, momentum=0.9, weight_decay=0.01),
    "RMSprop": lambda: optimizers.RMSprop(0.001, rho=0.99, momentum=0.5),
    "Lion": lambda: optimizers.Lion(0.001),
    "Adagrad": lambda: optimizers.Adagrad(0.01),
    "Adadelta": lambda: optimizers.Adadelta(0.1),
    "Adam": lambda: optimizers.Adam(0.001),
    "Adamax": lambda: optimizers.Adamax(0.001),
    "Nadam": lambda: optimizers.Nadam(0.001),
    "Ftrl": lambda: optimizers.Ftrl(0.01),
    "schedule": lambda: optimizers.SGD(
        optimizers.schedules.ExponentialDecay(0.1, 40, 0.5), momentum=0.9
    ),
    "AdamW, schedule": lambda: optimizers.AdamW(
        optimizers.schedules.CosineDecay(0.01, STEPS), weight_decay=0.1
    ),
    "ScheduleFreeAdamW": lambda: optimizers.ScheduleFreeAdamW(0.01, warmup_steps=20),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STOCK)
def test_slots_and_weights_are_those_of_so_many_steps(
    make_strategy: MakeStrategy, name: str
) -> None:
    with make_strategy(2).scope():
        model = trained(STOCK[name]())
    plain = trained(STOCK[name]())
    both = zip(
        [*model.optimizer.variables, *model.weights],
        [*plain.optimizer.variables, *plain.weights],
        strict=True,
    )
    for ours, theirs in both:
        found, expected = (touched(v.numpy()) for v in (ours, theirs))
        np.testing.assert_allclose(found, expected, rtol=1e-4, err_msg=ours.path)


@pytest.mark.parametrize("accumulated", [pytest.param(None, marks=pytest.mark.slow), 3])
def test_the_loss_scale_is_raised_once_in_so_many_batches(
    strategy: Any, accumulated: int | None
) -> None:
    with strategy.scope():
        sgd = optimizers.SGD(2.0**-12, gradient_accumulation_steps=accumulated)
        scaled = optimizers.LossScaleOptimizer(sgd, initial_scale=16.0, dynamic_growth_steps=50)
        model = trained(scaled)
    assert float(model.optimizer.dynamic_scale) == 16 * 2 ** (STEPS // 50)
    assert int(model.optimizer.step_counter) == STEPS % 50


class Unequal(keras.Model):
    """Two constant gradients of 1, in a loop that runs more often on one worker than on another."""

    def __init__(self) -> None:
        super().__init__()
        self.large = self.add_weight(shape=(2048,), initializer="zeros")
        self.small = self.add_weight(shape=(3,), initializer="zeros")
        self.count = self.add_weight(initializer="zeros", trainable=False)
        self.built = True

    def call(self, x: Any) -> Any:
        return x

    def train_step(self, rounds: Any) -> Any:
        def add_one(variable: Any) -> Any:
            with tf.GradientTape() as tape:
                total = tf.reduce_sum(tf.convert_to_tensor(variable))
            self.optimizer.apply(tape.gradient(total, [variable]), [variable])

        def body(i: Any) -> Any:
            add_one(self.large)
            tf.cond(i % 2 < 1, lambda: add_one(self.small), lambda: None)
            self.count.assign_add(1.0)
            return i + 1

        tf.while_loop(lambda i: i < rounds[0], body, [0])
        return {"large": tf.reduce_sum(tf.convert_to_tensor(self.large))}


@pytest.mark.parametrize(
    "policy",
    [
        Synchronous(),
        BoundedStaleness(1),
        pytest.param(Asynchronous(), marks=pytest.mark.slow),
        pytest.param(Asynchronous(1, above="wait"), marks=pytest.mark.slow),
        pytest.param(Asynchronous(1), marks=pytest.mark.slow),
        pytest.param(SemiSynchronous(1), marks=pytest.mark.slow),
        pytest.param(Local(2), marks=pytest.mark.slow),
        pytest.param(DenseAndRows(), marks=pytest.mark.slow),
    ],
)
def test_each_apply_of_each_worker_counts_under_each_policy(
    make_strategy: MakeStrategy, policy: Policy
) -> None:
    def rounds(context: tf.distribute.InputContext) -> tf.data.Dataset:
        worker = context.input_pipeline_id
        return tf.data.Dataset.from_tensor_slices([[(worker + i) % 3] for i in range(6)])

    with make_strategy(update=policy).scope():
        model = Unequal()
        model.compile(keras.optimizers.SGD(1.0), steps_per_execution=3)
        model.optimizer.build(model.trainable_variables)
    model.fit(rounds, verbose=0)
    large, small, count = (-float(np.mean(v)) for v in model.get_weights())
    updates, dropped = large + small, int(model.history.updates[0].dropped.sum())
    on_large, on_small = 6 * NUM_WORKERS, 4 * NUM_WORKERS
    assert int(model.optimizer.iterations) == (updates if not isinstance(policy, Local) else 20)
    assert count == -on_large
    if isinstance(policy, Asynchronous | BoundedStaleness):
        assert updates + dropped == on_large + on_small
    elif isinstance(policy, Local):  # the mean of the workers' copies
        assert updates == (on_large + on_small) / NUM_WORKERS
    else:  # the mean of at most one gradient of each worker
        assert (on_large + on_small) / NUM_WORKERS <= updates <= on_large + on_small
