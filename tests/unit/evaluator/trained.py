"""A small model that is trained by a step, and saved."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

X = np.arange(24, dtype="float32").reshape(8, 3) / 24
Y = X.sum(axis=1, keepdims=True)


def make(optimizer: Any = "adam", units: int = 4, layers: int = 1) -> keras.Model:
    keras.utils.set_random_seed(1)
    hidden = [keras.layers.Dense(units) for _ in range(layers)]
    model = keras.Sequential([keras.Input((3,)), *hidden, keras.layers.Dense(1)])
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


def train(model: keras.Model, epochs: int = 1) -> keras.Model:
    with _eagerly(model):
        model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0)
    return model


def evaluate(model: keras.Model) -> dict[str, float]:
    with _eagerly(model):
        return model.evaluate(X, Y, verbose=0, return_dict=True)


@contextlib.contextmanager
def _eagerly(model: keras.Model) -> Iterator[None]:
    """Run the model without graphs, as each would take longer to make than the few steps take."""
    functions = model.train_function, model.test_function
    model.run_eagerly, model.train_function, model.test_function = True, None, None
    yield
    model.run_eagerly, (model.train_function, model.test_function) = False, functions


def save(model: keras.Model, path: Path) -> None:
    """Save a model: the suffix says how, and without one it is a tf.train.Checkpoint."""
    path.parent.mkdir(exist_ok=True)
    if path.name.endswith(".weights.h5"):
        model.save_weights(path, overwrite=True)
    elif path.suffix == ".keras":
        model.save(path)
    else:
        tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(str(path))
