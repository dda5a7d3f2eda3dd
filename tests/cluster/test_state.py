"""What a model keeps beside its parameters: moving statistics, seeds, counters."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfps
from tests.cluster.conftest import NUM_WORKERS, MakeStrategy

pytestmark = pytest.mark.timeout(60)


class Total(keras.layers.Layer):
    """Adds up, in a variable of its own, what passes through it."""

    def build(self, input_shape: Any) -> None:
        self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False, name="seen")

    def call(self, x: Any) -> Any:
        self.seen.assign_add(keras.ops.sum(x))
        return x


class Kept(keras.layers.Layer):
    """Keeps the last numbers that passed through it, the least of them, and that there was one."""

    def build(self, input_shape: Any) -> None:
        kinds = {
            "last": ((4,), "zeros", "float32"),
            "least": ((), keras.initializers.Constant(np.inf), "float32"),
            "any": ((), "zeros", "bool"),
        }
        self.last, self.least, self.any = (
            self.add_weight(
                shape=shape, initializer=initial, dtype=dtype, trainable=False, name=name
            )
            for name, (shape, initial, dtype) in kinds.items()
        )

    def call(self, x: Any, training: bool = False) -> Any:
        if training:
            self.last.assign(keras.ops.concatenate([self.last[1:], x[0]]))
            self.least.assign(keras.ops.minimum(self.least, keras.ops.min(x)))
            self.any.assign(True)
        return x


class Branching(keras.layers.Layer):
    """Counts in a branch and in a loop, and draws a mask for each row."""

    def build(self, input_shape: Any) -> None:
        self.dropout = keras.layers.Dropout(0.5)
        self.large, self.distinct = (keras.metrics.Sum(name=name) for name in ("large", "distinct"))
        zero = {"shape": (), "initializer": "zeros", "trainable": False}
        self.branches = self.add_weight(name="branches", **zero)
        self.rounds = self.add_weight(name="rounds", dtype="int64", **zero)
        self.last = self.add_weight(name="last", **zero)
        self.mean = self.add_weight(name="mean", **zero)

    def call(self, x: Any, training: bool = False) -> Any:
        if training:
            keras.ops.cond(x[0, 0] > 29, lambda: self.large_batch(x), lambda: x)
            keras.ops.while_loop(lambda i: i < 3, self.round, [0])
            ones = keras.ops.ones((24,))
            rows = keras.ops.map(lambda _: self.dropout(ones, training=True), x)
            masks = keras.ops.sum(keras.ops.cast(rows > 0, "float32") * 2.0 ** np.arange(24), -1)
            self.distinct.update_state(tf.size(tf.unique(masks)[0]))
        return x

    def large_batch(self, x: Any) -> Any:
        self.branches.assign_add(keras.ops.sum(x))
        self.large.update_state(x)
        self.last.assign(x[0, 0])
        self.mean.assign(0.5 * self.mean + 0.5 * 8.0)
        return x

    def round(self, i: Any) -> Any:
        self.rounds.assign_add(1)
        self.rounds.assign_add(keras.ops.cast(i, "int64"))
        return [i + 1]


class Mask(keras.layers.Layer):
    """Gives what dropout made of ones, as a number that tells masks apart."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = keras.layers.Dropout(0.5)

    def call(self, x: Any, training: bool = False) -> Any:
        kept = keras.ops.cast(self.dropout(keras.ops.ones((24,)), training=training) > 0, "float32")
        return x[:, :1] * 0 + keras.ops.sum(kept * 2.0 ** np.arange(24))


def test_what_a_model_adds_is_exact_and_what_it_assigns_is_whole(
    make_strategy: MakeStrategy,
) -> None:
    with make_strategy(2).scope():
        total, kept = Total(), Kept()
        model = keras.Sequential([keras.Input((1,)), total, kept, keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(1e-5), "mse")  # inputs of 59: more would diverge
    x = np.arange(60, dtype="float32")[:, None]
    model.fit(x, x, batch_size=2, epochs=2, verbose=0)
    assert float(np.asarray(total.seen)) == 2 * x.sum()
    # Of the workers' assignments the last one counts: each number is one that was assigned.
    assert set(kept.last.numpy()) <= {0.0, *x[:, 0]}
    assert float(kept.least.numpy()) in x
    assert bool(kept.any.numpy())
    model.evaluate(x, x, verbose=0)
    model.predict(x, verbose=0)  # Keras calls the layer there, too
    assert float(np.asarray(total.seen)) == 4 * x.sum()


def test_state_may_be_written_in_branches_and_loops(make_strategy: MakeStrategy) -> None:
    with make_strategy(2).scope():
        branching = Branching()
        model = keras.Sequential([keras.Input((1,)), branching, keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(1e-5), "mse")
    x = np.arange(60, dtype="float32")[:, None]
    history = model.fit(x, x, batch_size=2, epochs=2, shuffle=False, verbose=0).history
    assert float(branching.branches.numpy()) == 2 * x[30:].sum()
    assert int(branching.rounds.numpy()) == 2 * 30 * (3 + 0 + 1 + 2)
    assert float(branching.last.numpy()) in x[30::2]
    assert history["large"] == [x[30:].sum()] * 2
    assert history["distinct"] == [60] * 2
    # A moving average of a constant, by all workers' differences: it comes close, and not above.
    assert 7.9 < float(branching.mean.numpy()) <= 8.0 + 4.0 * (NUM_WORKERS - 1)


def test_moving_statistics_come_to_those_of_the_data(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    with strategy.scope():
        layer = keras.layers.BatchNormalization(momentum=0.9)
        model = keras.Sequential([keras.Input((2,)), layer, keras.layers.Dense(1)])
        model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal([3.0, -5.0], [2.0, 0.5], (800, 2)).astype("float32")
    model.fit(x, x[:, :1], batch_size=20, epochs=3, verbose=0)
    np.testing.assert_allclose(layer.moving_mean.numpy(), x.mean(0), atol=0.5)
    np.testing.assert_allclose(layer.moving_variance.numpy(), x.var(0), rtol=0.4)


def test_dropout_masks_differ_between_workers_and_steps(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    with strategy.scope():
        x = keras.Input((24,))
        model = keras.Model(x, [keras.layers.Dropout(0.5)(x), keras.layers.Dense(1)(x)])
        optimizer = keras.optimizers.SGD(0.0)
    bits = tf.constant(2.0 ** np.arange(24), tf.float32)

    def step(model: keras.Model, batch: Any) -> Any:
        dropped, out = model(batch, training=True)
        mask = tf.reduce_sum(tf.cast(dropped[0] > 0, tf.float32) * bits)
        return tf.reduce_sum(out) * 0.0, {"mask": mask}

    ones = tf.data.Dataset.from_tensors(tf.ones([1, 24])).repeat()
    loop = strategy.loop(step, model=model, optimizer=optimizer, data=lambda _: ones)
    assert len({loop.run(1)["mask"] for _ in range(30)}) == 30


def test_a_schedule_reads_the_global_step(strategy: tfps.ParameterServerStrategy) -> None:
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([9], [1.0, 0.0])
    with strategy.scope():
        weights = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
        model = keras.Sequential([keras.Input((1,)), weights])
        # The gradient is -1 at each step, so the weight counts those with rate 1: steps 0 to 9.
        model.compile(keras.optimizers.SGD(rate), lambda y_true, y_pred: -y_pred)
    x = np.ones((64, 1), "float32")
    model.fit(x, x, batch_size=2, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 32
    late = NUM_WORKERS - 1  # steps that pulled the counter before others had counted
    assert 10 <= float(weights.kernel.numpy()[0, 0]) <= 10 + late
