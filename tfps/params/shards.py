"""A Keras variable as the shards that hold its value."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras
import tensorflow as tf

from tfps import _keras


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Shard:
    """A range of a parameter's rows, held by one ps.

    It can be a key: two shards are equal if the same tf.Variable holds them.

    Attributes:
        variable: the tf.Variable that holds the rows, of shape `(rows, *parameter.shape[1:])`.
        ps: the index of the ps.
        first_row: the index in the parameter of the shard's first row.
    """

    variable: tf.Variable
    ps: int
    first_row: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shard) and other.variable is self.variable

    def __hash__(self) -> int:
        return hash(self.variable.ref())

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the shard."""
        return tuple(self.variable.shape)

    @property
    def num_elements(self) -> int:
        """How many numbers the shard holds."""
        return math.prod(self.shape)


def native(variable: keras.Variable | tf.Variable) -> Any:
    """Return the tf.Variable, or ShardedVariable, that holds the value of `variable`."""
    return _keras.native(variable) if isinstance(variable, keras.Variable) else variable


def shards(variable: keras.Variable | tf.Variable) -> tuple[Shard, ...]:
    """Return the shards of a parameter in the order of their rows; one if it is not split.

    Raises:
        ValueError: if `variable` does not lie on a ps.
    """
    value = native(variable)
    found, first_row = [], 0
    for piece in getattr(value, "variables", None) or [value]:
        found.append(Shard(variable=piece, ps=_ps_of(variable, piece), first_row=first_row))
        first_row += piece.shape[0] if piece.shape.rank else 1
    return tuple(found)


def on_ps(variable: keras.Variable | tf.Variable) -> bool:
    """Whether the value of `variable` lies on parameter servers."""
    value = native(variable)
    pieces = getattr(value, "variables", None) or [value]
    return all(tf.DeviceSpec.from_string(piece.device).job == "ps" for piece in pieces)


def _ps_of(variable: Any, piece: tf.Variable) -> int:
    device = tf.DeviceSpec.from_string(piece.device)
    if device.job != "ps":
        name = getattr(variable, "path", variable.name)
        raise ValueError(
            f"Variable {name!r} lies on {piece.device!r}, not on a ps. Build, compile and change "
            "the model (as by enable_lora or quantize) inside of strategy.scope()."
        )
    return int(device.task)
