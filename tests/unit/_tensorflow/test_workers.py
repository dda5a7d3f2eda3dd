"""A worker that lost a connection to a ps recovers, though TensorFlow ignores such a loss."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable, Iterator

import tensorflow as tf
from tensorflow.python.eager import executor

from tfps._tensorflow import on_worker


class Handler:
    """Treats each error as a connection between the worker and a ps that broke for a moment."""

    @contextlib.contextmanager
    def wait_on_failure(
        self, *, on_transient_failure_fn: Callable[[], None], **others: object
    ) -> Iterator[None]:
        try:
            yield
        except tf.errors.UnavailableError:
            on_transient_failure_fn()


def worker() -> types.SimpleNamespace:
    return types.SimpleNamespace(
        device_name="/device:CPU:0",
        executor=executor.new_executor(enable_async=False),
        failure_handler=Handler(),
    )


def test_the_worker_recovers_again_until_that_succeeds() -> None:
    called: list[str] = []

    def recover() -> None:
        called.append("recover")
        if called.count("recover") == 1:
            raise tf.errors.UnavailableError(None, None, "again")

    with on_worker(worker(), on_failure=lambda: called.append("fail"), on_recovery=recover):
        raise tf.errors.UnavailableError(None, None, "socket closed")
    assert called == ["fail", "recover", "fail", "recover"]


def test_a_block_without_failures_just_runs() -> None:
    called: list[str] = []
    with on_worker(
        worker(),
        on_failure=lambda: called.append("fail"),
        on_recovery=lambda: called.append("recover"),
    ):
        called.append("run")
    assert called == ["run"]
