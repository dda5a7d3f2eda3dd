"""Split variables read, are written, and are restored like whole ones; see also the unit tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.cluster.conftest import MakeStrategy

pytestmark = pytest.mark.timeout(120)

VALUE = np.arange(12.0, dtype="float32").reshape(6, 2) / 10
IDS = np.array([5, 0, 3, 2, 1, 4, 5, 5])
X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
Y = np.ones((8, 1), "float32")


def test_on_the_chief(make_strategy: MakeStrategy) -> None:
    with make_strategy(2).scope():
        raw = tf.Variable(VALUE)
        layer = keras.layers.Embedding(6, 2, weights=[VALUE])
        layer.build()
    for variable in (raw, layer.embeddings.value, layer.embeddings):
        assert len(getattr(variable, "variables", [1, 2])) == 2
        np.testing.assert_array_equal(tf.gather(variable, IDS), VALUE[IDS])
        np.testing.assert_array_equal(tf.nn.embedding_lookup(variable, IDS), VALUE[IDS])
        np.testing.assert_array_equal(keras.ops.take(variable, IDS, axis=0), VALUE[IDS])
        np.testing.assert_array_equal(variable[4:0:-2], VALUE[4:0:-2])
        np.testing.assert_array_equal(variable[..., 0] + variable[-1][0], VALUE[:, 0] + 1.0)
        np.testing.assert_array_equal(np.asarray(variable), VALUE)


class Reads(keras.layers.Layer):
    """Reads a variable of Keras, and writes one of TensorFlow, in its call."""

    def build(self, shape: Any) -> None:
        constant = keras.initializers.Constant(VALUE)
        self.table = self.add_weight(shape=(6, 2), initializer=constant, name="table")
        self.raw = tf.Variable(VALUE)
        self.counts = tf.Variable(tf.zeros([6], tf.int64), trainable=False)

    def call(self, ids: Any) -> Any:
        self.counts.scatter_add(tf.IndexedSlices(tf.ones_like(ids, tf.int64), ids))
        self.counts.assign_add(tf.ones([6], tf.int64))
        mask = [True, False, True, True, False, False]
        rows = [
            tf.nn.embedding_lookup(read, ids)
            + tf.gather(read[1:5][::-1], ids % 3)
            + tf.reduce_sum(tf.boolean_mask(read, mask)) * read[..., 0][2]
            + read[tf.constant(2)]
            for read in (self.table, self.raw)
        ]
        return rows[0] * rows[1]


def reading() -> keras.Model:
    ids = keras.Input((), dtype="int32")
    layer = Reads()
    model = keras.Model(ids, keras.layers.Dense(1)(layer(ids)))
    model.layer = layer
    model.compile("sgd", "mse")
    return model


class Trains(keras.Model):
    """Trains a tf.Variable of its own by its own rule."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.raw = tf.Variable(np.linspace(0, 1, 16, dtype="float32").reshape(4, 4))
        self.dense.build((None, 4))
        self.loss_metric = keras.metrics.Mean("loss")
        self.built = True
        self.compile("sgd")

    def call(self, x: Any) -> Any:
        return self.dense(x @ self.raw)

    def train_step(self, batch: Any) -> Any:
        x, y = batch
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x) - y) ** 2)
        variables = self.trainable_variables
        *gradients, of_raw = tape.gradient(loss, [*variables, self.raw])
        self.optimizer.apply(gradients, variables)
        self.raw.assign_sub(0.1 * of_raw)
        self.loss_metric.update_state(loss)
        return {"loss": self.loss_metric.result()}


@pytest.mark.parametrize(("make", "x"), [(reading, IDS), (Trains, X)])
def test_in_a_step(make_strategy: MakeStrategy, make: Callable[[], Any], x: Any) -> None:
    losses, values = [], []
    for scope in (make_strategy(2).scope(), tf.name_scope("plain")):
        keras.utils.set_random_seed(0)
        with scope:
            model = make()
        # One batch, so that one worker takes each step.
        history = model.fit(x, Y, batch_size=8, epochs=3, shuffle=False, verbose=0).history
        losses.append(history["loss"])
        raw = [model.raw] if make is Trains else [model.layer.raw, model.layer.counts]
        values.append([np.asarray(value) for value in [*raw, *model.get_weights()]])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    for ours, theirs in zip(*values, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_an_optimizer_of_a_tensorflow_variable_is_refused(make_strategy: MakeStrategy) -> None:
    class ByOptimizer(Trains):
        def train_step(self, batch: Any) -> Any:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(self(batch[0]) ** 2)
            self.optimizer.apply(tape.gradient(loss, [self.raw]), [self.raw])
            return {"loss": loss}

    with make_strategy(2).scope():
        model = ByOptimizer()
    with pytest.raises(NotImplementedError, match=r"which is a tf.Variable.*add_weight"):
        model.fit(X, Y, verbose=0)


@pytest.mark.parametrize("shards", [1, 2])
def test_tensorflows_tutorial_loop_trains(make_strategy: MakeStrategy, shards: int) -> None:
    strategy = make_strategy(shards)
    with strategy.scope():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        optimizer = keras.optimizers.SGD(0.1)
        optimizer.build(model.trainable_variables)
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    plain.set_weights(model.get_weights())
    plain.compile(keras.optimizers.SGD(0.1), "mse")
    plain.fit(X, Y, batch_size=8, verbose=0)

    @tf.function
    def step() -> None:
        def replica() -> None:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((model(X) - Y) ** 2)
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

        strategy.run(replica)

    strategy.coordinator.schedule(step)
    strategy.coordinator.join()
    for ours, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def tables(rows: int, width: int = 4) -> keras.Model:
    ids = keras.Input((2,), dtype="int32")
    first = keras.layers.Embedding(rows, width, name="first")(ids)
    second = keras.layers.Embedding(20, 4, name="second")(ids)
    model = keras.Model(ids, keras.layers.Concatenate()([first, second]))
    model.compile("sgd", "mse", metrics=[keras.metrics.MeanSquaredError()])
    return model


@pytest.mark.parametrize("shards", [1, 2])
def test_files_of_another_shape_are_refused_before_anything_is_assigned(
    make_strategy: MakeStrategy, tmp_path: Path, shards: int
) -> None:
    with make_strategy(2).scope():
        saved = tables(20)
    path = tf.train.Checkpoint(model=saved).write(str(tmp_path / "checkpoint"))
    saved.save_weights(tmp_path / "saved.weights.h5")
    with make_strategy(shards).scope():
        others = [tables(15), tables(30), tables(20, width=5)]
    for other in others:
        before = other.get_weights()
        shape = str(before[0].shape)
        with pytest.raises(ValueError, match=r"first/embeddings") as error:
            tf.train.Checkpoint(model=other).restore(path)
        assert "(20, 4)" in str(error.value)
        assert shape in str(error.value)
        for ours, theirs in zip(other.get_weights(), before, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        with pytest.raises(ValueError, match=r"\(20, 4\)") as error:
            other.load_weights(tmp_path / "saved.weights.h5")
        assert shape in str(error.value)
