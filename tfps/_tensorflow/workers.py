"""Running functions on a given worker, and on threads that do not wait for each other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import context, executor


@contextlib.contextmanager
def on_own_stream() -> Iterator[None]:
    """Run the block's calls to other tasks on a stream of their own.

    The calls of one stream wait for each other. Without this, all threads share a stream.
    """
    with context.executor_scope(new_stream()):
        yield


def new_stream() -> Any:
    """Return a stream for the calls of one thread: see `on_own_stream`."""
    return executor.new_executor(enable_async=False)


@contextlib.contextmanager
def outside_of_scopes() -> Iterator[None]:
    """Run the block outside of every strategy's scope and device that is active around it."""
    with tf.Graph().as_default(), context.eager_mode(), tf.device(None):
        yield


def workers(coordinator: tf.distribute.coordinator.ClusterCoordinator) -> list[Any]:
    """Return the coordinator's workers, to be passed to `on_worker`.

    They do not keep the coordinator, nor its strategy, alive.
    """
    return list(coordinator._cluster.workers)


@contextlib.contextmanager
def on_worker(worker: Any, *, stream: Any = None, on_failure: Callable[[], None]) -> Iterator[None]:
    """Run eager ops and concrete functions of the block on one worker.

    If the worker is lost during the block, nothing is raised: `on_failure` is called, the block
    ends when the worker is back. Everything that was created on the worker is gone. The same
    happens, without a wait, if the worker lost its connection to a ps: then nobody knows how much
    of the block ran.

    Args:
        worker: one of `workers`.
        stream: the stream of its calls; None is the coordinator's.
        on_failure: is called when the worker is lost.

    Raises:
        Exception: any error of the block that is not a lost worker.
    """
    stream = stream or worker.executor

    with (
        worker.failure_handler.wait_on_failure(
            on_failure_fn=lambda _: on_failure(),
            on_transient_failure_fn=on_failure,
            worker_device_name=worker.device_name,
        ),
        tf.device(worker.device_name),
        context.executor_scope(stream),
    ):
        try:
            yield
        except Exception:
            # It was raised to the caller; left in the executor, it would be printed at exit.
            stream.clear_error()
            raise
