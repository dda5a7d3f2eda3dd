"""Take the tensors out of a structure of Python objects, and build it again from others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import tensorflow as tf

from tfps._tensorflow import is_composite
from tfps.params.variable_map import VariableMap

T = TypeVar("T")


def take_apart(structure: T) -> tuple[list[tf.Tensor], Callable[[Sequence[tf.Tensor]], T]]:
    """Return the tensors of a structure, and a function that builds it from other tensors.

    A structure is made of dataclasses, mappings (dicts and `VariableMap`s), lists and tuples. Other
    objects in it stay as they are. A composite tensor counts as its components. The tensors come in
    the order of the fields and items, for a mapping in the order of insertion; the function takes
    as many of the same kind.
    """
    tensors: list[tf.Tensor] = []
    builder = _take_apart(structure, tensors)
    return tensors, lambda others: builder(list(others))


_Builder = Callable[[list[tf.Tensor]], Any]


def _take_apart(value: Any, tensors: list[tf.Tensor]) -> _Builder:
    if isinstance(value, tf.Tensor):
        position = len(tensors)
        tensors.append(value)
        return lambda others: others[position]
    if is_composite(value):
        parts = tf.nest.flatten(value, expand_composites=True)
        first = len(tensors)
        tensors.extend(parts)
        return lambda others: tf.nest.pack_sequence_as(
            value, others[first : first + len(parts)], expand_composites=True
        )
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        in_fields = _take_apart(fields, tensors)
        return lambda others: type(value)(**in_fields(others))
    if isinstance(value, VariableMap):
        in_values = [(variable, _take_apart(item, tensors)) for variable, item in value.items()]
        return lambda others: VariableMap((key, build(others)) for key, build in in_values)
    if isinstance(value, Mapping):
        in_items = {key: _take_apart(item, tensors) for key, item in value.items()}
        return lambda others: {key: build(others) for key, build in in_items.items()}
    if isinstance(value, tuple | list):
        in_order = [_take_apart(item, tensors) for item in value]
        kind = getattr(type(value), "_make", type(value))
        return lambda others: kind([build(others) for build in in_order])
    return lambda others: value
