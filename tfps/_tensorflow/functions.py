"""Traced functions: their graphs, what they capture, and which tensors tapes watch in them."""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.autograph.core import ag_ctx
from tensorflow.python.eager import context, tape
from tensorflow.python.eager.polymorphic_function import (
    atomic_function,
    autograph_util,
    polymorphic_function,
)

FuncGraph = tf.__internal__.FuncGraph


def is_composite(value: Any) -> bool:
    """Whether `value` is a tensor made of several, such as a ragged or a sparse tensor."""
    return isinstance(value, tf.__internal__.CompositeTensor) and not isinstance(value, tf.Variable)


_dropped: collections.deque[tuple[Any, Any]] = collections.deque()
"""The context and the name of each function that Python has dropped and the servers still hold."""


def defer_removal_of_functions() -> None:
    """Let `remove_dropped_functions` remove functions from the servers, not the garbage collector.

    A removal holds Python's global lock until every server has answered. In the middle of other
    work that can take for ever: a server of this process may need the lock before it can answer,
    and one on another machine may be stopped.
    """
    if context.Context.remove_function is _remove_at_once:
        context.Context.remove_function = _remove


def remove_dropped_functions() -> None:
    """Remove from all servers the functions that Python has dropped, and so free their memory.

    To be called where no worker runs a function.
    """
    while _dropped:
        try:
            owner, name = _dropped.popleft()
        except IndexError:  # another thread was faster
            return
        if not _references(owner, name) and owner.has_function(name):
            _remove_at_once(owner, name)


def _references(owner: Any, name: Any) -> int | None:
    """Return how many Python objects hold a function; None if TensorFlow does not count them."""
    references: int | None = atomic_function.RUNTIME_FUNCTION_REFS.get(
        (owner.function_scope_id, name)
    )
    return references


_remove_at_once = context.Context.remove_function


@functools.wraps(_remove_at_once)
def _remove(owner: Any, name: Any) -> None:
    if _references(owner, name) == 0:  # its last owner is being collected
        _dropped.append((owner, name))
    else:
        _remove_at_once(owner, name)


def captures(function: Any) -> list[tf.Tensor]:
    """Return the tensors that a concrete function captured when it was traced."""
    return [tensor for tensor in function._captured_inputs if not callable(tensor)]


def capture_at_call(make: Callable[[], tf.Tensor], spec: tf.TensorSpec) -> tf.Tensor:
    """Return a tensor of the function that is being traced: the result of `make` at each call."""
    return tf.compat.v1.get_default_graph().capture_call_time_value(make, spec)


def replace_capture(function: Any, tensor: tf.Tensor, make: Callable[[], tf.Tensor]) -> None:
    """Have a concrete function use the result of `make`, at each call, for a captured tensor."""
    spec = tf.TensorSpec(tensor.shape, tensor.dtype)
    function.replace_capture_with_deferred_capture(tensor, make, spec)


@functools.cache
def inline_functions(inlines: Callable[[], bool]) -> None:
    """Have calls of a tf.function trace it anew, as part of the caller, where `inlines()` is true.

    Once per process; elsewhere calls go on as they are.

    A tf.function keeps its traces. One that was made in another graph has the values that variables
    had there.
    """
    call = polymorphic_function.Function.__call__

    @functools.wraps(call)
    def inline(function: Any, *args: Any, **kwargs: Any) -> Any:
        if not inlines():
            return call(function, *args, **kwargs)
        body, autograph = function._python_function, function._autograph
        if function._jit_compile:  # some ops run only if XLA compiles them
            compiled = tf.function(body, autograph=autograph, jit_compile=True)
            return call(compiled, *args, **kwargs)
        if autograph:
            body = autograph_util.py_func_from_autograph(body)
        args, kwargs = tf.nest.map_structure(
            lambda leaf: tf.constant(leaf) if isinstance(leaf, np.ndarray) else leaf, (args, kwargs)
        )
        # Where the caller is not converted, AutoGraph would not convert what it calls.
        with ag_ctx.ControlStatusCtx(status=ag_ctx.Status.UNSPECIFIED):
            return body(*args, **kwargs)

    polymorphic_function.Function.__call__ = inline


def watch(tensor: tf.Tensor) -> None:
    """Have all active tapes watch `tensor` as they watch a trainable variable that is read."""
    tape.variable_accessed(_Watched(tensor))


class _Watched:
    """The part of a trainable variable that a tape looks at."""

    trainable = True

    def __init__(self, tensor: tf.Tensor) -> None:
        self.handle = tensor
