"""Every private name of TensorFlow that tfps touches, and nothing else of tfps.

tests/unit/test_private_tensorflow.py fails, naming the row, when a release moves one of them.

| name | why |
| --- | --- |
| `parameter_server_strategy_v2.ParameterServerStrategyV2Extended`, its `_create_variable` and `_create_variable_round_robin` | the strategy places variables here; tfps balances bytes instead |
| `ParameterServerStrategyV2._connect_to_cluster`, `_num_workers`, `_num_ps` | a second strategy of one process must not connect again |
| `ClusterCoordinator._cluster.workers` (`executor`, `device_name`, `failure_handler.wait_on_failure`) | to run a function on one chosen worker, with the coordinator's own handling of its failures |
| `eager.context.executor_scope` | the same |
| `eager.executor.new_executor` | what a thread runs on a ps for long must not hold up the calls of others |
| `ConcreteFunction._captured_inputs`, `replace_capture_with_deferred_capture`, `FuncGraph.capture_call_time_value` | what a function captures is copied to each worker once |
| `eager.tape.variable_accessed` | it tells the tapes that are active to watch what was pulled for a variable |
| `eager.context.Context.remove_function` | the collection of a function waits for ever now and then where servers are in the same process |
"""  # noqa: E501

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.distribute.parameter_server_strategy_v2 import (
    ParameterServerStrategyV2Extended,
)
from tensorflow.python.eager import context, executor, tape

__all__ = [
    "ParameterServerStrategyV2Extended",
    "capture_at_call",
    "captures",
    "keep_functions",
    "on_own_stream",
    "on_worker",
    "replace_capture",
    "take_number",
    "watch",
    "workers",
]


def keep_functions() -> None:
    """Keep TensorFlow from removing functions that Python has dropped, in this process.

    Removing one waits for an answer of every server. Where those run in the same process, that
    answer has been seen not to come, when the garbage collector drops the functions of a model in
    the middle of other work. The functions' graphs stay in memory instead.
    """
    context.Context.remove_function = lambda self, name: None


class _Watched:
    """What a tape wants of a trainable variable: the tensor that its reads begin with."""

    trainable = True

    def __init__(self, tensor: tf.Tensor) -> None:
        self.handle = tensor


def captures(function: Any) -> list[tf.Tensor]:
    """Return what a concrete function captured when it was traced."""
    return [tensor for tensor in function._captured_inputs if not callable(tensor)]


def capture_at_call(make: Callable[[], tf.Tensor], spec: tf.TensorSpec) -> tf.Tensor:
    """Return, in the function that is being traced, what `make` gives at each of its calls."""
    return tf.compat.v1.get_default_graph().capture_call_time_value(make, spec)


def replace_capture(function: Any, tensor: tf.Tensor, make: Callable[[], tf.Tensor]) -> None:
    """Have a concrete function call `make`, at each of its calls, for a tensor it captured."""
    spec = tf.TensorSpec(tensor.shape, tensor.dtype)
    function.replace_capture_with_deferred_capture(tensor, make, spec)


def take_number(counter: tf.Variable) -> tf.Tensor:
    """Add 1 to an integer variable and return what it was before: to each caller another number.

    To be called under the variable's device.
    """
    return tf.raw_ops.ResourceCountUpTo(
        resource=counter.handle, limit=counter.dtype.max, T=counter.dtype
    )


def watch(tensor: tf.Tensor) -> None:
    """Have all active tapes watch `tensor` as they watch a trainable variable that is read."""
    tape.variable_accessed(_Watched(tensor))


@contextlib.contextmanager
def on_own_stream() -> Iterator[None]:
    """Run the calls of the block to other tasks apart from those of other threads.

    Those of one stream wait for one another.
    """
    own = executor.new_executor(enable_async=False)
    with context.executor_scope(own):
        yield


def workers(coordinator: tf.distribute.coordinator.ClusterCoordinator) -> list[Any]:
    """Return the coordinator's workers, to be passed to `on_worker`.

    They do not keep the coordinator, nor its strategy, alive.
    """
    return list(coordinator._cluster.workers)


@contextlib.contextmanager
def on_worker(
    worker: Any,
    *,
    on_failure: Callable[[], None],
    on_recovery: Callable[[], None],
) -> Iterator[None]:
    """Run eager ops and concrete functions of the block on one worker.

    A worker that is lost during the block does not raise: `on_failure` is called, the block waits
    until the worker is back, and `on_recovery` is called on it. What was made there is gone. The
    same, without a wait, where the worker is there, but had lost its connection to a ps: nobody
    knows how far the block came.

    Raises:
        Exception: what the block raises for any other reason than a lost worker.
    """

    def recover() -> None:
        with tf.device(worker.device_name), context.executor_scope(worker.executor):
            on_recovery()

    def begin_anew() -> None:
        on_failure()
        with on_worker(worker, on_failure=on_failure, on_recovery=on_recovery):
            on_recovery()

    with (
        worker.failure_handler.wait_on_failure(
            on_failure_fn=lambda _: on_failure(),
            on_transient_failure_fn=begin_anew,
            on_recovery_fn=recover,
            worker_device_name=worker.device_name,
        ),
        tf.device(worker.device_name),
        context.executor_scope(worker.executor),
    ):
        try:
            yield
        except Exception:
            # It was raised to the caller; left in the executor, it would be printed at exit.
            worker.executor.clear_error()
            raise
