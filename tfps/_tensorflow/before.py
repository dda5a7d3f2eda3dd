"""What a process made before it was connected to a cluster: variables and lookup tables.

The connection replaces the process's device by the chief's, and what lay on the old one is gone.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.ops import lookup_ops, resource_variable_ops

_OLD_JOB = "localhost"
_VARIABLE = resource_variable_ops.BaseResourceVariable
_TABLES = (lookup_ops.StaticHashTable, lookup_ops.MutableHashTable, lookup_ops.DenseHashTable)


def keep_what_was_made() -> Callable[[], None]:
    """Keep the values of all variables and lookup tables of this process.

    Returns:
        A function that makes them again, to be called once the process is connected.
    """
    found = [o for o in gc.get_objects() if issubclass(type(o), (_VARIABLE, *_TABLES))]
    variables = [o for o in found if issubclass(type(o), _VARIABLE) and _is_lost(o.handle)]
    tables = [o for o in found if issubclass(type(o), _TABLES) and _is_lost(o.resource_handle)]
    kept = [*map(_kept_variable, variables), *map(_kept_table, tables)]

    def make_again() -> None:
        for make in kept:
            make()

    return make_again


def explain_old_datasets() -> None:
    """Let an error say what to do if a dataset is iterated over that was made before."""
    plain = tf.data.Dataset.__iter__
    if hasattr(plain, "__wrapped__"):
        return

    @functools.wraps(plain)
    def iterate(dataset: Any) -> Any:
        if _is_lost(tf.data.experimental.to_variant(dataset)):
            raise RuntimeError(
                "This tf.data.Dataset was made before the strategy, which has since connected the "
                "process to a cluster. Make it after tfps.ParameterServerStrategy(), or give it to "
                "fit, evaluate or predict, which can still read it."
            )
        return plain(dataset)

    tf.data.Dataset.__iter__ = iterate


def _is_lost(handle: Any) -> bool:
    """Whether an eager tensor lies on the device that the connection replaces."""
    if not isinstance(handle, tf.__internal__.EagerTensor):
        return False  # of a graph
    return bool(tf.DeviceSpec.from_string(handle.device).job == _OLD_JOB)


def _kept_variable(variable: Any) -> Callable[[], None]:
    value = tf.identity(variable.read_value())

    def make() -> None:
        new = tf.Variable(value, dtype=variable.dtype, shape=variable.shape, trainable=False)
        handle = {name: value for name, value in vars(new).items() if "handle" in name}
        vars(variable).update(handle)

    return make


def _kept_table(table: Any) -> Callable[[], None]:
    content = table.export() if hasattr(table, "insert") else None

    def make() -> None:
        table._resource_handle = table._create_resource()
        if content is None:
            table._initialize()
        else:
            table.insert(*content)

    return make
