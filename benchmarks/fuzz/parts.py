"""Layers with state of their own, for the models of the cases."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

PROBE_SHAPE = (6, 3)


class Counter(layers.Layer):
    """Counts its calls in training, and the examples that it sees."""

    def build(self, shape: Any) -> None:
        self.calls = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False)
        self.examples = self.add_weight(shape=(2,), initializer="zeros", trainable=False)

    def call(self, x: Any, training: bool = False) -> Any:
        if training:
            self.calls.assign_add(1)
            self.examples.assign_add(
                ops.cast([1, 1], "float32") * ops.cast(tf.shape(x)[0], "float32")
            )
        return x


class RunningMean(layers.Layer):
    """Subtracts a moving mean, which it writes before it reads it."""

    def build(self, shape: Any) -> None:
        self.mean = self.add_weight(shape=(shape[-1],), initializer="zeros", trainable=False)

    def call(self, x: Any, training: bool = False) -> Any:
        if training:
            axes = list(range(len(x.shape) - 1))
            batch_mean = ops.cast(ops.mean(x, axis=axes), self.mean.dtype)
            self.mean.assign(0.9 * self.mean + 0.1 * batch_mean)
        return x - ops.cast(self.mean, x.dtype)


class Largest(layers.Layer):
    """Scales by the largest absolute value seen, which begins at 0."""

    def build(self, shape: Any) -> None:
        self.largest = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x: Any, training: bool = False) -> Any:
        if training:
            new = ops.cast(ops.max(ops.abs(x)), self.largest.dtype)
            self.largest.assign(ops.maximum(self.largest, new))
        return x / ops.cast(1.0 + self.largest, x.dtype)


class InControlFlow(layers.Layer):
    """Counts the examples whose mean is positive, in a branch and in a loop."""

    def build(self, shape: Any) -> None:
        self.positive = self.add_weight(
            shape=(), dtype="int32", initializer="zeros", trainable=False
        )
        self.rounds = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x: Any, training: bool = False) -> Any:
        if training:
            tf.cond(
                tf.reduce_mean(tf.cast(x, "float32")) > 0,
                lambda: self.positive.assign_add(1),
                lambda: self.positive.assign_add(0),
            )

            def body(i: Any) -> Any:
                self.rounds.assign_add(1.0)
                return (i + 1,)

            tf.while_loop(lambda i: i < 2, body, (0,))
        return x


class Scale(layers.Layer):
    """Multiplies by a scalar weight, and adds a regularizing loss of it."""

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(shape=(), initializer="ones")

    def call(self, x: Any) -> Any:
        self.add_loss(0.1 * ops.cast(ops.square(self.scale), "float32"))
        return x * ops.cast(self.scale, x.dtype)


class Transposed(layers.Layer):
    """Multiplies by the transposed kernel of another layer: tied weights."""

    def __init__(self, source: layers.Dense, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source

    def call(self, x: Any) -> Any:
        return ops.matmul(x, ops.transpose(ops.cast(self.source.kernel, x.dtype)))


class Residual(layers.Layer):
    """A composite layer: a Dense layer and its normalization, added to the input."""

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = layers.Dense(size, activation="tanh")
        self.norm = layers.LayerNormalization()

    def call(self, x: Any) -> Any:
        return x + self.norm(self.inner(x))


class Probe(layers.Layer):
    """Has a weight whose gradient is 1 in each step, whatever the data."""

    def build(self, shape: Any) -> None:
        self.probe = self.add_weight(shape=PROBE_SHAPE, initializer="ones", name="probe")

    def call(self, x: Any) -> Any:
        self.add_loss(ops.cast(ops.sum(self.probe), "float32"))
        return x


class CountExamples(keras.metrics.Metric):
    """Counts the examples that it has seen."""

    def __init__(self, name: str = "examples", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.total = self.add_weight(shape=(), initializer="zeros", name="total")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.total.assign_add(ops.cast(tf.shape(y_pred)[0], self.dtype))

    def result(self) -> Any:
        return ops.add(self.total, 0)
