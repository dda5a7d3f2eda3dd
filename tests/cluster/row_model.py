"""A model with a table of which each batch looks up some rows."""

from __future__ import annotations

from typing import Any

import keras

ROWS = 40


def row_model(optimizer: Any = "sgd", **compiled: Any) -> keras.Model:
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((), dtype="int64"),
            keras.layers.Lambda(lambda ids: keras.ops.cast(ids, "int32")),  # found before a pull
            keras.layers.Embedding(ROWS, 4),
            keras.layers.Dense(1),
        ]
    )
    model.compile(optimizer, "mse", **compiled)
    return model
