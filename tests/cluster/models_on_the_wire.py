"""Models whose traffic, and whose weights after some steps, are known beforehand."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

WIDTH = 40  # of a matrix large enough to be coded
SLOPE = np.random.default_rng(3).normal(size=(WIDTH, WIDTH)).astype("float32")
COUNTERS = 12  # bytes that every step pulls: the global step and the learning rate
IDS = np.random.default_rng(4).integers(0, 300, (64, 6))
CLASSES = (IDS.sum(axis=1, keepdims=True) > 900).astype("float32")


class Sloped(keras.layers.Layer):
    """Gives sum(kernel * slope) for each example, so the gradient of its mean is the slope."""

    def __init__(self, slope: np.ndarray) -> None:
        super().__init__()
        self.slope = slope

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(WIDTH, WIDTH), initializer="zeros", name="kernel")

    def call(self, inputs: Any) -> Any:
        return keras.ops.sum(self.kernel * self.slope) + 0.0 * inputs


def sloped(
    strategy: Any,
    slope: np.ndarray = SLOPE,
    rate: Any = 1.0,
    steps_per_execution: int = 1,
    **sgd: Any,
) -> keras.Model:
    with strategy.scope():
        model = keras.Sequential([keras.Input((1,)), Sloped(slope)])
        model.compile(
            keras.optimizers.SGD(rate, **sgd),
            lambda _, y: keras.ops.mean(y),
            steps_per_execution=steps_per_execution,
        )
    return model


class Bowl(keras.layers.Layer):
    """Gives half the sum of kernel ** 2, so that the gradient is the kernel."""

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(4,), initializer="ones", name="kernel")

    def call(self, inputs: Any) -> Any:
        return 0.5 * keras.ops.sum(self.kernel**2) + 0.0 * inputs


def bowl(strategy: Any, steps_per_execution: int) -> keras.Model:
    """Return a model whose weights, ones at first, each step of SGD multiplies by 0.7."""
    with strategy.scope():
        model = keras.Sequential([keras.Input((1,)), Bowl()])
        model.compile(
            keras.optimizers.SGD(0.3),
            lambda _, y: keras.ops.mean(y),
            steps_per_execution=steps_per_execution,
        )
    return model


def run_steps(model: keras.Model, steps: int, epochs: int = 1) -> Any:
    data = tf.data.Dataset.from_tensors((np.ones((4, 1)), np.ones((4, 1)))).repeat()
    return model.fit(data, steps_per_epoch=steps, epochs=epochs, verbose=0)


def classifier(strategy: Any, **arguments: Any) -> keras.Model:
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = keras.Sequential(
            [
                keras.Input((6,), dtype="int32"),
                keras.layers.Embedding(300, 16),
                keras.layers.Flatten(),
                keras.layers.Dense(64, activation="gelu"),
                keras.layers.BatchNormalization(),
                keras.layers.Dropout(0.1),
                keras.layers.Dense(1, activation="sigmoid"),
            ]
        )
        model.compile("adam", "binary_crossentropy", metrics=["accuracy"], **arguments)
    return model
