"""What a process made before it was connected to a cluster: variables, tables and functions.

The connection replaces the process's device by the chief's, and what lay on the old one is gone.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.data.ops.iterator_ops import OwnedIterator
from tensorflow.python.eager.polymorphic_function.polymorphic_function import Function
from tensorflow.python.ops import lookup_ops, resource_variable_ops

_OLD_JOB = "localhost"
_VARIABLE = resource_variable_ops.BaseResourceVariable
_TRACES = (
    "_concrete_variable_creation_fn",
    "_created_variables",
    "_function_cache",
    "_no_variable_creation_config",
    "_variable_creation_config",
)
_TABLES = (lookup_ops.StaticHashTable, lookup_ops.MutableHashTable, lookup_ops.DenseHashTable)


def keep_what_was_made() -> Callable[[], None]:
    """Keep the values of all variables and lookup tables of this process.

    Each tf.function forgets its traces, which name the old device.

    Returns:
        A function that makes them again, to be called once the process is connected.
    """
    kinds = (_VARIABLE, Function, *_TABLES)
    found = [o for o in gc.get_objects() if issubclass(type(o), kinds)]
    functions = [o for o in found if issubclass(type(o), Function)]
    if traced := [f for f in functions if f._variable_creation_config is not None]:
        for function in traced:
            new = vars(tf.function(function.python_function))
            vars(function).update({name: new.get(name) for name in _TRACES})
        gc.collect()  # traces cannot be removed later: the cluster will not know them
    variables = [o for o in found if issubclass(type(o), _VARIABLE) and is_lost(o.handle)]
    tables = [o for o in found if issubclass(type(o), _TABLES) and is_lost(o.resource_handle)]
    kept = [*map(_kept_variable, variables), *map(_kept_table, tables)]

    def make_again() -> None:
        for make in kept:
            make()

    return make_again


@functools.cache
def explain_old_datasets() -> None:
    """Let an error say what to do if a dataset or an iterator is read that was made before."""

    def explain(
        kind: Any, method: str, handle_of: Callable[[Any], Any], what: str, advice: str
    ) -> None:
        plain = getattr(kind, method)

        @functools.wraps(plain)
        def read(data: Any) -> Any:
            if is_lost(handle_of(data)):
                raise RuntimeError(
                    f"This {what} was made before the strategy, which has since connected the "
                    f"process to a cluster. Make it after tfps.ParameterServerStrategy(){advice}."
                )
            return plain(data)

        setattr(kind, method, read)

    also = ", or give it to fit, evaluate or predict, which can still read it"
    to_variant = tf.data.experimental.to_variant
    explain(tf.data.Dataset, "__iter__", to_variant, "tf.data.Dataset", also)
    for method in ("__next__", "get_next", "get_next_as_optional"):
        explain(OwnedIterator, method, lambda i: i._iterator_resource, "iterator", "")


def is_lost(handle: Any) -> bool:
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
