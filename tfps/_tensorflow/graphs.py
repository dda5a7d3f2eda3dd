"""The graphs of branches and loops, inside of the graph of a traced function."""

from __future__ import annotations

import weakref
from typing import Any

import tensorflow as tf
from tensorflow.python.ops.control_flow_v2_func_graphs import WhileBodyFuncGraph, WhileCondFuncGraph

from tfps._tensorflow.functions import FuncGraph, watch

# The attributes that name the functions, and the number of inputs that these do not get.
_CALLS = {
    "Case": (("branches",), 1),
    "If": (("then_branch", "else_branch"), 1),
    "PartitionedCall": (("f",), 0),
    "StatefulPartitionedCall": (("f",), 0),
    "StatelessCase": (("branches",), 1),
    "StatelessIf": (("then_branch", "else_branch"), 1),
    "StatelessWhile": (("body", "cond"), 0),
    "While": (("body", "cond"), 0),
}
_callers: weakref.WeakKeyDictionary[Any, tuple[int, dict[str, Any]]] = weakref.WeakKeyDictionary()


def in_current_graph(tensor: tf.Tensor) -> tf.Tensor:
    """Return `tensor`, or what stands for it in the branch or loop that is being traced.

    A tape that is made there does not see what is done outside.
    """
    return _stands_for(tensor)[0]


def watched(tensor: tf.Tensor) -> tf.Tensor:
    """Return `tensor` in the current graph, for all tapes to watch it: see `in_current_graph`.

    They watch it outside of the branches and loops that are being traced, too: there, a tape sees a
    branch or a loop only if it watches what is passed to it.
    """
    for each in (found := _stands_for(tensor)):
        watch(each)
    return found[0]


def _stands_for(tensor: tf.Tensor) -> list[tf.Tensor]:
    """Return what stands for `tensor` in the current graph and those around it, up to its own."""
    graph, found = tf.compat.v1.get_default_graph(), []
    while tf.is_symbolic_tensor(tensor) and tensor.graph is not graph:
        found.append(graph.capture(tensor))
        graph = graph.outer_graph
    return [*found, tensor]


def is_loop(graph: Any) -> bool:
    """Whether `graph` is that of the body or the condition of a loop."""
    return isinstance(graph, WhileBodyFuncGraph | WhileCondFuncGraph)


def passed_in(placeholder: tf.Tensor) -> list[tf.Tensor]:
    """Return the tensors that an input of a branch, a loop or a function stands for.

    Those of the graph outside; for a loop, also what the iteration before left. None if its graph
    is not called by another function.
    """
    graph: Any = placeholder.graph
    outer = getattr(graph, "outer_graph", None)
    position = next((i for i, t in enumerate(graph.inputs) if t is placeholder), None)
    if not isinstance(outer, FuncGraph) or position is None:
        return []
    caller = _callers_in(outer).get(graph.name)
    if caller is None:
        return [out for out, inner in graph.captures if inner is placeholder]
    _, skipped = _CALLS[caller.type]
    passed = [caller.inputs[position + skipped]]
    if isinstance(graph, WhileBodyFuncGraph):
        passed.append(graph.outputs[position])
    return passed


def _callers_in(graph: Any) -> dict[str, Any]:
    """Return the ops of a graph that call functions, by the names of these."""
    ops = graph.get_operations()
    found = _callers.get(graph)
    if found is None or found[0] != len(ops):
        found = len(ops), {name: op for op in ops for name in _called_by(op)}
        _callers[graph] = found
    return found[1]


def _called_by(op: Any) -> list[str]:
    names, _ = _CALLS.get(op.type, ((), 0))
    attributes = [op.get_attr(name) for name in names]
    functions = [f for a in attributes for f in (a if isinstance(a, list) else [a])]
    return [function.name for function in functions]
