"""The tensors in a structure of Python objects, taken out and put back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import tensorflow as tf

T = TypeVar("T")


def take_apart(structure: T) -> tuple[list[tf.Tensor], Callable[[Sequence[tf.Tensor]], T]]:
    """Return the tensors of a structure, and the function that builds it from others of their kind.

    A structure is made of dataclasses, dictionaries, lists and tuples; what else is in it stays as
    it is. Composite tensors count as their components.
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
    if isinstance(value, tf.__internal__.CompositeTensor) and not isinstance(value, tf.Variable):
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
    if isinstance(value, Mapping):
        in_items = {key: _take_apart(item, tensors) for key, item in value.items()}
        return lambda others: {key: build(others) for key, build in in_items.items()}
    if isinstance(value, tuple | list):
        in_order = [_take_apart(item, tensors) for item in value]
        kind = getattr(type(value), "_make", type(value))
        return lambda others: kind([build(others) for build in in_order])
    return lambda others: value
