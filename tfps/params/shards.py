"""The shards of a Keras variable, the ps that hold them, and the ps that update them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from tfps import _keras


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Shard:
    """A range of a parameter's rows, held by one ps; or the whole of one that a ps updates whole.

    It can be a key: two shards are equal if the same tf.Variable holds them.

    Attributes:
        variable: the tf.Variable that holds the rows, of shape `(rows, *parameter.shape[1:])`. If
            the shard is a whole parameter in shards, the ShardedVariable.
        ps: the index of the ps.
        first_row: the index in the parameter of the shard's first row.
    """

    variable: tf.Variable
    ps: int
    first_row: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shard) and other.variable is self.variable

    def __hash__(self) -> int:
        return id(self.variable)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the shard."""
        return tuple(self.variable.shape)

    @property
    def num_elements(self) -> int:
        """The number of elements of the shard."""
        return math.prod(self.shape)


def native(variable: keras.Variable | tf.Variable) -> Any:
    """Return the tf.Variable or ShardedVariable that holds the value of `variable`."""
    return _keras.native(variable) if isinstance(variable, keras.Variable) else variable


def shards(variable: keras.Variable | tf.Variable) -> tuple[Shard, ...]:
    """Return the shards of a parameter in the order of their rows; one if it is not split.

    Raises:
        ValueError: if `variable` is not on a ps.
    """
    value = native(variable)
    split, first_row = [], 0
    for part in getattr(value, "variables", None) or [value]:
        split.append(Shard(variable=part, ps=_ps_of(variable, part), first_row=first_row))
        first_row += part.shape[0] if part.shape.rank else 1
    return tuple(split)


def updated_parts(variable: keras.Variable | tf.Variable) -> tuple[Shard, ...]:
    """Return the parts of a parameter that are updated one by one: its shards, or all of it."""
    value, ps = native(variable), updated_on(variable)
    return shards(variable) if ps is None else (Shard(variable=value, ps=ps, first_row=0),)


def updated_on(variable: keras.Variable | tf.Variable) -> int | None:
    """Return the index of the ps that updates a parameter whole; None if each shard's ps does."""
    return getattr(native(variable), "updated_on", None)


def update_whole(variables: Iterable[keras.Variable]) -> None:
    """Have each of these parameters updated whole by one of the ps that hold its shards.

    From now on this holds for all optimizers. The ps gathers the value from the other ps and writes
    it back under a lock of its own, so it is the only one that updates the parameter.
    """
    load: dict[int, int] = {}
    for variable in variables:
        holders = [shard.ps for shard in shards(variable)]
        if len(holders) == 1:
            continue
        value = native(variable)
        if value.updated_on is None:
            value.updated_on = min(holders, key=lambda ps: load.get(ps, 0))
        load[value.updated_on] = load.get(value.updated_on, 0) + math.prod(value.shape)


def on_ps(variable: keras.Variable | tf.Variable) -> bool:
    """Whether the value of `variable` is on parameter servers."""
    value = native(variable)
    parts = getattr(value, "variables", None) or [value]
    return all(tf.DeviceSpec.from_string(part.device).job == "ps" for part in parts)


def _ps_of(variable: Any, part: tf.Variable) -> int:
    device = tf.DeviceSpec.from_string(part.device)
    if device.job != "ps":
        name = getattr(variable, "path", variable.name)
        raise ValueError(
            f"Variable {name!r} lies on {part.device!r}, not on a ps. Build, compile and change "
            "the model (as by enable_lora or quantize) inside of strategy.scope()."
        )
    return int(device.task)
