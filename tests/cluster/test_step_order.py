"""A train_step has the effect of its code, in the order in which it is written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.cluster.conftest import MakeStrategy
from tfps.update import Synchronous

pytestmark = pytest.mark.timeout(120)

X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)
IDS = np.random.default_rng(1).permutation(64)  # each once: plain Keras squares repeated ids apart


class Base(keras.Model):
    """A dense layer, rows of a table, a variable that counts, and a moving copy of the kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.table = keras.layers.Embedding(64, 4, embeddings_initializer="ones")
        self.dense = keras.layers.Dense(1, kernel_initializer="ones")
        self.table.build()
        self.dense.build((None, 4))
        self.count = self.add_weight(name="count", initializer="zeros", trainable=False)
        self.copy = self.add_weight(shape=(4, 1), name="copy", trainable=False)
        self.built = True

    def call(self, inputs: Any) -> Any:
        x, ids = inputs
        return self.dense(x * self.table(ids))

    def loss_of(self, data: Any) -> Any:
        return tf.reduce_mean((self(data[0]) - data[1] - 1.0) ** 2)

    def gradients(self, data: Any, variables: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            loss = self.loss_of(data)
        return loss, tape.gradient(loss, variables)


class OnePerLayer(Base):
    """One optimizer, two calls of `apply`, on disjoint variables."""

    def train_step(self, data: Any) -> Any:
        of_table, of_dense = self.table.trainable_variables, self.dense.trainable_variables
        loss, gradients = self.gradients(data, of_table + of_dense)
        self.optimizer.apply(gradients[:1], of_table)
        self.optimizer.apply(gradients[1:], of_dense)
        return {"loss": loss}


class ReadsAfter(Base):
    """Two updates of the same variables, a moving average, and what is read after them."""

    def train_step(self, data: Any) -> Any:
        variables = self.trainable_variables
        for _ in range(2):
            loss, gradients = self.gradients(data, variables)
            self.optimizer.apply(gradients, variables)
        self.copy.assign(0.9 * self.copy + 0.1 * self.dense.kernel)
        steps = tf.cast(tf.convert_to_tensor(self.optimizer.iterations), tf.float32)
        return {"loss": loss, "after": self.loss_of(data), "steps": steps}


class SharpnessAware(Base):
    """Foret et al. 2021: the gradient at weights that the step moves, and moves back."""

    def train_step(self, data: Any) -> Any:
        variables = self.dense.trainable_variables
        loss, gradients = self.gradients(data, variables)
        moves = [0.05 * g / tf.linalg.global_norm(gradients) for g in gradients]
        for variable, move in zip(variables, moves, strict=True):
            variable.assign_add(move)
        loss, gradients = self.gradients(data, variables)
        for variable, move in zip(variables, moves, strict=True):
            variable.assign_sub(move)
        self.optimizer.learning_rate = 0.01 / (1.0 + loss)
        self.optimizer.apply(gradients, variables)
        return {"loss": loss, "rate": tf.convert_to_tensor(self.optimizer.learning_rate)}


class Clipped(Base):
    """Weights that are clipped after each update, as in a WGAN."""

    def train_step(self, data: Any) -> Any:
        variables = self.trainable_variables
        loss, gradients = self.gradients(data, variables)
        self.optimizer.apply(gradients, variables)
        self.dense.kernel.assign(tf.clip_by_value(self.dense.kernel, -0.99, 0.99))
        return {"loss": loss, "after": self.loss_of(data)}


class Exchanged(Base):
    """Two variables that exchange their values by a third, and one that follows in a branch."""

    def __init__(self) -> None:
        super().__init__()
        self.third = self.add_weight(shape=(4, 1), name="third", trainable=False)

    def train_step(self, data: Any) -> Any:
        variables = self.trainable_variables
        loss, gradients = self.gradients(data, variables)
        self.optimizer.apply(gradients, variables)
        self.third.assign(self.copy)
        self.copy.assign(self.dense.kernel)
        self.dense.kernel.assign(0.5 * self.dense.kernel + self.third)

        def even() -> int:
            self.count.assign(self.dense.bias[0])
            self.dense.bias.assign(self.copy[0])
            return 0

        tf.cond(tf.equal(tf.cast(self.optimizer.iterations, tf.int32) % 2, 0), even, lambda: 1)
        return {"loss": loss, "after": self.loss_of(data)}


class Sometimes(Base):
    """An update in one branch, and another in the other."""

    def train_step(self, data: Any) -> Any:
        variables = self.dense.trainable_variables
        loss, gradients = self.gradients(data, variables)

        def large() -> int:
            self.optimizer.apply(gradients, variables)
            self.count.assign_add(1.0)
            return 0

        def small() -> int:
            _, again = self.gradients(data, [self.dense.bias])
            self.optimizer.apply(again, [self.dense.bias])
            return 0

        tf.cond(loss > 1.5, large, small)
        return {"loss": loss, "count": tf.convert_to_tensor(self.count)}


class Repeated(Base):
    """A loop whose every round sees the update of the one before."""

    def train_step(self, data: Any) -> Any:
        variables = self.dense.trainable_variables

        def body(i: Any, total: Any) -> Any:
            loss, gradients = self.gradients(data, variables)
            self.optimizer.apply(gradients, variables)
            self.count.assign_add(loss)
            return i + 1, total + loss

        _, total = tf.while_loop(lambda i, _: i < 3, body, [0, 0.0])
        return {"loss": total, "after": self.loss_of(data)}


class Nested(Base):
    """Parts that are tf.functions, with AutoGraph; XLA compiles one, for an op that needs it."""

    @tf.function(jit_compile=True)
    def smoothed(self, x: Any) -> Any:
        if tf.reduce_sum(x) > 1e6:
            x = 0.0 * x
        kernel = tf.reshape(self.dense.kernel, [1, 1, 2, 2])
        return tf.nn.conv2d(x[:, None, None, :], kernel, 1, "SAME")[:, 0, 0, :]

    @tf.function
    def doubled_if_positive(self, x: Any) -> Any:
        if tf.reduce_sum(x) > 0:  # AutoGraph makes a branch of it
            x = 2.0 * x
        return self.dense(x)

    def call(self, inputs: Any) -> Any:
        x = inputs[0] * self.table(inputs[1])
        # On a CPU, only XLA has convolutions by groups.
        return self.doubled_if_positive(tf.concat([x[:, :2], self.smoothed(x)], axis=1))

    def train_step(self, data: Any) -> Any:
        loss, gradients = self.gradients(data, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"loss": loss}


class ReadInside(Base):
    """Variables that only loops and branches read, with tapes outside and inside of them."""

    def call(self, inputs: Any) -> Any:
        x, ids = inputs

        def scaled(i: Any, total: Any) -> Any:
            kernel = tf.cond(i % 2 < 1, lambda: 2.0 * self.dense.kernel, lambda: 1.0)
            return i + 1, total + tf.reduce_sum(kernel)

        _, scale = tf.while_loop(lambda i, _: i < 3, scaled, [0, 0.0])
        rows = tf.cond(tf.size(ids) > 3, lambda: self.table(ids), lambda: 0.0 * x)
        return scale * tf.reduce_sum(x * rows, axis=1, keepdims=True)

    def train_step(self, data: Any) -> Any:
        loss, gradients = self.gradients(data, self.trainable_variables[:2])

        def inner(i: Any, total: Any) -> Any:
            with tf.GradientTape() as tape:
                value = tf.cond(i < 1, lambda: tf.reduce_sum(self.dense.bias), lambda: 0.0)
            return i + 1, total + tape.gradient(value, self.dense.bias)

        _, of_bias = tf.while_loop(lambda i, _: i < 3, inner, [0, tf.zeros([1])])
        self.optimizer.apply([*gradients, of_bias], self.trainable_variables)
        return {"loss": loss, "gradient": of_bias[0]}


def trained(
    make: Callable[[], Base], scope: Any, optimizer: Any, **fit: Any
) -> tuple[Base, dict[str, Any], list[np.ndarray]]:
    """Return a model after training, its history, and its state."""
    keras.utils.set_random_seed(1)
    with scope:
        model = make()
        model.compile(optimizer(), steps_per_execution=fit.pop("steps_per_execution", 1))
        model.optimizer.build(model.trainable_variables)
    # One batch: no worker is ahead of another.
    data = tf.data.Dataset.from_tensors(((X, IDS), Y)).repeat(fit.pop("batches", 1))
    history = model.fit(data, verbose=0, **fit).history
    state = [np.asarray(v) for v in [*model.weights, *model.optimizer.variables]]
    return model, history, state


STEPS = [
    OnePerLayer,
    ReadsAfter,
    SharpnessAware,
    pytest.param(Clipped, marks=pytest.mark.slow),  # Exchanged assigns after an update, too
    Exchanged,
    Sometimes,
    Repeated,
    Nested,
    ReadInside,
]


def adam() -> Any:
    return keras.optimizers.Adam(0.02, weight_decay=0.01)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_has_the_effect_that_it_has_in_plain_keras(
    make_strategy: MakeStrategy, step: Callable[[], Base]
) -> None:
    _, plain_logs, plain = trained(step, contextlib.nullcontext(), adam, epochs=4)
    _, logs, ours = trained(step, make_strategy(2).scope(), adam, epochs=4)
    for name, value in plain_logs.items():
        np.testing.assert_allclose(logs[name], value, rtol=2e-5, err_msg=name)
    for mine, theirs in zip(ours, plain, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-5, atol=1e-6)


def test_what_waits_in_an_inbox_takes_effect_on_what_the_step_has_assigned(
    make_strategy: MakeStrategy,
) -> None:
    class Scaled(Base):
        def train_step(self, data: Any) -> Any:
            loss, gradients = self.gradients(data, self.trainable_variables)
            for variable in self.trainable_variables:
                variable.assign(0.5 * variable)
            self.optimizer.apply(gradients, self.trainable_variables)
            return {"loss": loss}

    def averaging() -> Any:
        return keras.optimizers.AdamW(0.02, use_ema=True, ema_momentum=0.8)

    _, _, plain = trained(Scaled, contextlib.nullcontext(), averaging, epochs=6)
    scope = make_strategy(2, update=Synchronous()).scope()
    _, _, ours = trained(Scaled, scope, averaging, epochs=6)
    for mine, theirs in zip(ours, plain, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-5, atol=1e-6)
