"""Keras's variables: the TensorFlow variable behind one, and the chief's assignments to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

_MARK = "_tfps_counts_assignments"  # an attribute of the variables whose assignments count
_assignments = 0


def native(variable: keras.Variable) -> Any:
    """Return the tf.Variable or ShardedVariable behind `variable`, whatever scope is active."""
    return variable._value


def is_seed_state(variable: keras.Variable) -> bool:
    """Whether `variable` is the state of a `keras.random.SeedGenerator`."""
    return bool(variable.name == "seed_generator_state")


def note_assignments(variables: Sequence[keras.Variable]) -> None:
    """Count the chief's assignments to these variables from now on."""
    for variable in variables:
        setattr(variable, _MARK, True)


def assignments() -> int:
    """Return the number of the chief's assignments to variables whose assignments count."""
    return _assignments


def count_assignment(original: Any, variable: Any, value: Any) -> None:
    """Call `original`, Keras's own assignment, and count it."""
    global _assignments
    original(variable, value)
    if getattr(variable, _MARK, False):
        _assignments += 1
