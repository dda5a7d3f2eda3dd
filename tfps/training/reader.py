"""Reading on the chief: groups as strings, which are cheap to keep and to send."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf


class Reader:
    """Reads groups: yields the tensors of each, as strings.

    Attributes:
        iterator: the iterator of tf.data that it reads, whose state can be saved; None if there is
            none.
    """

    def __init__(self, packed: Iterator[list[bytes]], start: int, iterator: Any = None) -> None:
        """Take the groups; those before `start` are skipped at the first read."""
        self.iterator = iterator
        self._packed = packed
        self._start = start

    def __next__(self) -> list[bytes]:
        """Read a group."""
        while self._start:
            self._start -= 1
            next(self._packed)
        return next(self._packed)

    def goes_on(self) -> None:
        """Skip nothing: the state of the iterator was restored."""
        self._start = 0


def num_strings(spec: Any) -> int:
    """Return the number of tensors of an element of this type."""
    return len(leaves(spec))


def leaves(value: Any) -> list[Any]:
    """Return the tensors of an element, or the types of those of its type."""
    flat = tf.nest.flatten(value, expand_composites=True)
    return [leaf for leaf in flat if not (leaf is None or isinstance(leaf, tf.NoneTensorSpec))]


def packed(element: Any) -> tf.Tensor:
    """Return the tensors of an element as a vector of strings."""
    return tf.stack([tf.io.serialize_tensor(leaf) for leaf in leaves(element)])


def unpacked(strings: tf.Tensor, spec: Any) -> Any:
    """Return an element of this type from a vector of strings."""
    rest = iter(tf.unstack(strings, num_strings(spec)))

    flat = [
        None if isinstance(leaf, tf.NoneTensorSpec) else parsed(next(rest), leaf)
        for leaf in tf.nest.flatten(spec, expand_composites=True)
    ]
    return tf.nest.pack_sequence_as(spec, flat, expand_composites=True)


def parsed(string: tf.Tensor, spec: tf.TensorSpec) -> tf.Tensor:
    """Return a tensor of this type from its string."""
    return tf.ensure_shape(tf.io.parse_tensor(string, spec.dtype), spec.shape)


def random_state() -> Any:
    """Return the state of Python's and NumPy's generators, by which Keras shuffles."""
    version, internal, gauss = random.getstate()
    name, keys, *rest = np.random.get_state(legacy=True)
    return [version, list(internal), gauss], [name, np.asarray(keys).tolist(), *rest]


def set_random_state(state: Any) -> None:
    """Set what `random_state` returned."""
    (version, internal, gauss), (name, keys, *rest) = state
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state((name, np.asarray(keys, np.uint32), *rest))
