"""Dataflow: what a value of a traced computation follows from, through its branches and loops."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from tfps._tensorflow import is_loop, passed_in

# They read a table on the worker, which does not change during a step.
_PURE_LOOKUPS = frozenset({"LookupTableFind", "LookupTableFindV2", "LookupTableSizeV2"})


def ancestors(ops: Iterable[Any]) -> set[Any]:
    """Return `ops` and all ops that their values depend on.

    What a branch or the body of a loop depends on is not missing: it is an input of the op that
    runs it. For an op inside of one, the search goes on outside, with the inputs of that op.
    """
    found: set[Any] = set()
    stack = list(ops)
    while stack:
        op = stack.pop()
        if op not in found:
            found.add(op)
            stack.extend(tensor.op for tensor in op.inputs)
            if op.type == "Placeholder":
                stack.extend(tensor.op for tensor in passed_in(op.outputs[0]))
    return found


def follows_from_batch(value: tf.Tensor, graph: Any, unknown: set[Any]) -> bool:
    """Whether `value` depends on the batch alone, and is the same each time it is computed.

    Args:
        value: a tensor.
        graph: the graph of the computation, outside of its branches and loops.
        unknown: the ops that give the values of variables.
    """
    return value.graph is graph and not any(
        op in unknown or (op.op_def.is_stateful and op.type not in _PURE_LOOKUPS)
        for op in ancestors([value.op])
    )


def is_plus(value: tf.Tensor, start: tf.Tensor, origin: tf.Tensor) -> bool:
    """Whether `value` is `start` plus or minus something that does not depend on `origin`.

    Args:
        value: what is written to a variable.
        start: what the variable held before, in the graph of `value`.
        origin: what it held when the computation began; `start` depends on it.
    """
    if value is start:
        return True
    if value.op.type in ("Identity", "Cast"):
        return is_plus(value.op.inputs[0], start, origin)
    if value.op.type not in ("Add", "AddV2", "AddN", "Sub"):
        return False
    dependent = _dependent(value.op.inputs, origin)
    if len(dependent) != 1 or (value.op.type == "Sub" and dependent[0] is not value.op.inputs[0]):
        return False
    return is_plus(dependent[0], start, origin)


def is_linear(value: tf.Tensor, start: tf.Tensor, origin: tf.Tensor) -> bool:
    """Whether `value` is a multiple of `start`, element by element, plus something without it.

    The arguments are those of `is_plus`.
    """
    if value is start:
        return True
    factors = value.op.inputs
    dependent = _dependent(factors, origin)
    if value.op.type in ("Mul", "RealDiv", "Div"):
        is_divided = value.op.type == "Mul" or (dependent and dependent[0] is factors[0])
        if len(dependent) != 1 or not is_divided:
            return False
    elif value.op.type not in ("Add", "AddV2", "AddN", "Cast", "Identity", "Neg", "Sub"):
        return False
    return bool(dependent) and all(is_linear(i, start, origin) for i in dependent)


def _dependent(values: Iterable[tf.Tensor], origin: tf.Tensor) -> list[tf.Tensor]:
    return [value for value in values if origin.op in ancestors([value.op])]


def loops_around(graph: Any) -> list[Any]:
    """Return the graphs of the loops inside of which a graph is traced, itself included."""
    return [loop for loop in _with_outer(graph) if is_loop(loop)]


def is_inside(graph: Any, outer: Any) -> bool:
    """Whether `graph` is `outer`, or is traced inside of it."""
    return any(each is outer for each in _with_outer(graph))


def _with_outer(graph: Any) -> list[Any]:
    graphs = [graph]
    while (graph := getattr(graph, "outer_graph", None)) is not None:
        graphs.append(graph)
    return graphs
