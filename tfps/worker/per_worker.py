"""What each worker keeps for itself between the calls of a function.

A worker is known by the thread that talks to it. When it is lost, all that it kept is gone: its
thread then says `begin`, and what is asked for next is made anew.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import tensorflow as tf

from tfps import _tensorflow

T = TypeVar("T")


class _Life:
    """One life of a worker, from a start to the next."""


_thread = threading.local()


def enter(index: int) -> None:
    """Say which worker this thread talks to, once."""
    _thread.index = index


def index() -> int:
    """Return the index of the worker that this thread talks to."""
    return int(_thread.index)


def begin() -> None:
    """Forget what the worker of this thread kept."""
    _thread.life = _Life()


class PerWorker(Generic[T]):
    """A value that each worker has its own of."""

    def __init__(self, make: Callable[[], T]) -> None:
        """Take what makes the value of a worker, called in its thread and under its device."""
        self._make = make
        self._made: weakref.WeakKeyDictionary[_Life, tuple[Any, T]] = weakref.WeakKeyDictionary()

    def get(self, version: Any = None) -> T:
        """Return this thread's worker's value; it is made at the first call for a version."""
        if not hasattr(_thread, "life"):
            begin()
        made = self._made.get(_thread.life)
        if made is None or made[0] != version:
            made = version, self._make()
            self._made[_thread.life] = made
        return made[1]


class WorkerVariables:
    """Variables of which each worker has its own, for the functions that it runs."""

    def __init__(
        self,
        make: Callable[[], Sequence[tf.Variable]],
        version: Callable[[], Any] = lambda: None,
    ) -> None:
        """Take what makes the variables of a worker, called in its thread and under its device.

        Args:
            make: makes them.
            version: while it returns the same they are kept; to be called on the chief.
        """
        self._made = PerWorker(make)
        self._version = version
        self._graph: Any = None
        self._handles: dict[int, tf.Tensor] = {}

    def begin(self) -> None:
        """Prepare for a trace; to be called at the top of a worker's function."""
        self._graph = tf.compat.v1.get_default_graph()
        self._handles = {}

    def read(self, index: int, dtype: tf.DType, shape: Sequence[int | None]) -> tf.Tensor:
        """Return the value of the variable of an index."""
        value = tf.raw_ops.ReadVariableOp(resource=self._handle(index), dtype=dtype)
        value.set_shape(shape)
        return value

    def write(self, index: int, value: tf.Tensor) -> None:
        """Replace the value of the variable of an index."""
        tf.raw_ops.AssignVariableOp(resource=self._handle(index), value=value)

    def _handle(self, index: int) -> tf.Tensor:
        if index not in self._handles:
            # What is captured at each call belongs to the function itself, not to a branch of it.
            with self._graph.as_default():
                self._handles[index] = _tensorflow.capture_at_call(
                    lambda: self._made.get(self._version())[index].handle,
                    tf.TensorSpec([], tf.resource),
                )
        return self._handles[index]


def keep_captures(function: Any, tables: Mapping[Any, tuple[tf.DType, tf.DType]]) -> None:
    """Have each worker copy once what a concrete function captured on the chief.

    TensorFlow would send captured tensors with every call, and look up every key on the chief.
    Variables stay where they are.

    Args:
        function: the concrete function.
        tables: the lookup tables among what it captured: for the `ref()` of a captured handle the
            dtypes of keys and values.
    """
    for tensor in _tensorflow.captures(function):
        if tensor.ref() in tables:
            make = _table_copy(tensor, *tables[tensor.ref()])
        elif tensor.dtype not in (tf.resource, tf.variant):
            make = _tensor_copy(tensor)
        else:
            continue
        _tensorflow.replace_capture(function, tensor, PerWorker(make).get)


def _tensor_copy(tensor: tf.Tensor) -> Callable[[], tf.Tensor]:
    return lambda: tf.identity(tensor)


def _table_copy(handle: tf.Tensor, keys: tf.DType, values: tf.DType) -> Callable[[], tf.Tensor]:
    def copy() -> tf.Tensor:
        with tf.device(handle.device):
            exported = tf.raw_ops.LookupTableExportV2(
                table_handle=handle, Tkeys=keys, Tvalues=values
            )
        table = tf.raw_ops.AnonymousHashTable(key_dtype=keys, value_dtype=values)
        tf.raw_ops.InitializeTableV2(
            table_handle=table, keys=tf.identity(exported.keys), values=tf.identity(exported.values)
        )
        return table

    return copy
