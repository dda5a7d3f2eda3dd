"""Keras's variables: the TensorFlow variable behind each, and when the chief assigns to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

_noted: set[int] = set()
_assignments = 0


def native(variable: keras.Variable) -> Any:
    """Return the tf.Variable or ShardedVariable behind `variable`, whatever scope is active."""
    return variable._value


def is_seed_state(variable: keras.Variable) -> bool:
    """Whether `variable` is the state of a `keras.random.SeedGenerator`."""
    return bool(variable.name == "seed_generator_state")


def note_assignments(variables: Sequence[keras.Variable]) -> None:
    """Count from now on what is assigned to these variables on the chief."""
    _noted.update(map(id, variables))


def assignments() -> int:
    """Return how often the chief has assigned to a variable whose assignments are noted."""
    return _assignments


def count_assignment(original: Any, variable: Any, value: Any) -> None:
    """Assign by `original`, Keras's own function, and count it."""
    global _assignments
    original(variable, value)
    if id(variable) in _noted:
        _assignments += 1
