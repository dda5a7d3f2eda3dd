"""Traced functions: their graphs, what they capture, and which tensors tapes watch in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import context, tape

FuncGraph = tf.__internal__.FuncGraph


def is_composite(value: Any) -> bool:
    """Whether `value` is a tensor made of several, such as a ragged or a sparse tensor."""
    return isinstance(value, tf.__internal__.CompositeTensor) and not isinstance(value, tf.Variable)


def keep_functions() -> None:
    """Keep TensorFlow from removing functions that Python has dropped, in this process.

    Removing a function waits for an answer from every server. Where the servers run in the same
    process and the garbage collector drops a model's functions in the middle of other work, that
    answer sometimes never comes. The functions' graphs stay in memory instead.
    """
    context.Context.remove_function = lambda self, name: None


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


def watch(tensor: tf.Tensor) -> None:
    """Have all active tapes watch `tensor` as they watch a trainable variable that is read."""
    tape.variable_accessed(_Watched(tensor))


class _Watched:
    """The part of a trainable variable that a tape looks at."""

    trainable = True

    def __init__(self, tensor: tf.Tensor) -> None:
        self.handle = tensor
