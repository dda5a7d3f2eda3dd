"""Values that each worker keeps between the calls of a function.

Each worker has one thread on the chief that calls functions on it, and is identified by that
thread. If the worker is lost, its values are gone. Its thread then calls `reset`, and each value is
made again when it is next asked for.
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
    """One life of a worker, from one start to the next."""


_thread = threading.local()


def enter(index: int) -> None:
    """Set the index of the worker that this thread calls functions on; to be called once."""
    _thread.index = index


def index() -> int:
    """Return the index of the worker that this thread calls functions on."""
    return int(_thread.index)


def reset() -> None:
    """Forget all values of this thread's worker."""
    _thread.life = _Life()


class PerWorker(Generic[T]):
    """A value of which each worker has its own."""

    def __init__(self, make: Callable[[], T]) -> None:
        """Take the function that makes a worker's value, in its thread and on its device."""
        self._make = make
        self._cached: weakref.WeakKeyDictionary[_Life, tuple[Any, T]] = weakref.WeakKeyDictionary()

    def get(self, version: Any = None) -> T:
        """Return the value of this thread's worker; the first call for a version makes it."""
        if not hasattr(_thread, "life"):
            reset()
        cached = self._cached.get(_thread.life)
        if cached is None or cached[0] != version:
            cached = version, self._make()
            self._cached[_thread.life] = cached
        return cached[1]


class WorkerVariables:
    """Variables of which each worker has its own, to be used in the functions that it runs."""

    def __init__(
        self,
        make: Callable[[], Sequence[tf.Variable]],
        version: Callable[[], Any] = lambda: None,
    ) -> None:
        """Describe the variables.

        Args:
            make: makes the variables of a worker, in its thread and on its device.
            version: is called on the chief; variables are made again if its result has changed.
        """
        self._variables = PerWorker(make)
        self._version = version
        self._graph: Any = None
        self._handles: dict[int, tf.Tensor] = {}

    def prepare(self) -> None:
        """Prepare for a trace; to be called at the top of a worker's function."""
        self._graph = tf.compat.v1.get_default_graph()
        self._handles = {}

    def read(self, index: int, dtype: tf.DType, shape: Sequence[int | None]) -> tf.Tensor:
        """Return the value of the variable with this index."""
        value = tf.raw_ops.ReadVariableOp(resource=self._handle(index), dtype=dtype)
        value.set_shape(shape)
        return value

    def write(self, index: int, value: tf.Tensor) -> None:
        """Replace the value of the variable with this index."""
        tf.raw_ops.AssignVariableOp(resource=self._handle(index), value=value)

    def _handle(self, index: int) -> tf.Tensor:
        if index not in self._handles:
            # The function captures the handle, not a branch or loop inside of it.
            with self._graph.as_default():
                self._handles[index] = _tensorflow.capture_at_call(
                    lambda: self._variables.get(self._version())[index].handle,
                    tf.TensorSpec([], tf.resource),
                )
        return self._handles[index]


def keep_captures(function: Any, tables: Mapping[Any, tuple[tf.DType, tf.DType]]) -> None:
    """Copy the tensors and lookup tables that a concrete function captured to each worker, once.

    TensorFlow would send captured tensors with every call, and look up every key on the chief.
    Variables stay where they are.

    Args:
        function: the concrete function.
        tables: for the `ref()` of each captured handle of a lookup table, the dtypes of its keys
            and values.
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
