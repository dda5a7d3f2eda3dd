"""The state of a model and of its optimizer, whatever its layout."""

from __future__ import annotations

import keras
import numpy as np


def state(model: keras.Model) -> list[np.ndarray]:
    """Return all values of a model and of its optimizer."""
    return [v.numpy() for v in [*model.variables, *model.optimizer.variables]]


def assert_same_state(model: keras.Model, other: keras.Model) -> None:
    """Assert that two models and their optimizers hold the same."""
    for a, b in zip(state(model), state(other), strict=True):
        np.testing.assert_array_equal(a, b)
