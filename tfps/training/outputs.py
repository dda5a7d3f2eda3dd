"""What a model's method returns: any structure, which travels from a worker as plain tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tfps._tensorflow import is_composite


class Outputs:
    """A method of a model that returns plain tensors, and the way back to what it returned.

    Ragged and sparse tensors travel as their components, and None does not travel.
    """

    def __init__(self, method: Callable[[Any], Any]) -> None:
        self._method = method
        self._types: Any = None

    def __call__(self, batch: Any) -> Any:
        """Run the method on a batch, in a trace: return a dictionary, or one list of tensors."""
        returned = self._method(batch)
        if not isinstance(returned, dict):
            self._types = _types(returned)
            return _plain(returned)
        self._types = {name: _types(value) for name, value in returned.items()}
        return {
            name: value if self._types[name] is _DENSE else _plain(value)
            for name, value in returned.items()
        }

    def restored(self, plain: Any) -> Any:
        """Return what the method returned, from the tensors that a worker has sent."""
        if not isinstance(plain, dict):
            return _restored(self._types, plain)
        return {
            name: value if self._types[name] is _DENSE else _restored(self._types[name], value)
            for name, value in plain.items()
        }


_DENSE = object()


def _types(value: Any) -> Any:
    """Return the structure of `value` with the types of its composite tensors."""

    def type_of(leaf: Any) -> Any:
        if is_composite(leaf):
            return tf.type_spec_from_value(leaf)
        return None if leaf is None else _DENSE

    return tf.nest.map_structure(type_of, value)


def _plain(value: Any) -> list[Any]:
    leaves = [leaf for leaf in tf.nest.flatten(value) if leaf is not None]
    return list(tf.nest.flatten(leaves, expand_composites=True))


def _restored(types: Any, plain: list[tf.Tensor]) -> Any:
    tensors: Iterator[tf.Tensor] = iter(plain)

    def restored(leaf: Any) -> Any:
        if leaf is None or leaf is _DENSE:
            return leaf and next(tensors)
        components = [next(tensors) for _ in tf.nest.flatten(leaf, expand_composites=True)]
        return tf.nest.pack_sequence_as(leaf, components, expand_composites=True)

    return tf.nest.map_structure(restored, types)
