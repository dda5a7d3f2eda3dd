"""A block that runs on a worker ends without an error if that worker is lost."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable, Iterator

import pytest
import tensorflow as tf
from tensorflow.python.eager import executor

from tfps._tensorflow import on_worker


class Handler:
    """Does what the coordinator's handler does, with a worker that is back at once."""

    @contextlib.contextmanager
    def wait_on_failure(
        self,
        *,
        on_failure_fn: Callable[[Exception], None],
        on_transient_failure_fn: Callable[[], None],
        worker_device_name: str,
    ) -> Iterator[None]:
        try:
            yield
        except tf.errors.UnavailableError as error:
            on_failure_fn(error)
        except tf.errors.CancelledError:  # the connection between the worker and a ps broke
            on_transient_failure_fn()


def worker() -> types.SimpleNamespace:
    return types.SimpleNamespace(
        device_name="/device:CPU:0",
        executor=executor.new_executor(enable_async=False),
        failure_handler=Handler(),
    )


@pytest.mark.parametrize("error", [tf.errors.UnavailableError, tf.errors.CancelledError])
def test_the_block_of_a_lost_worker_ends(error: type[tf.errors.OpError]) -> None:
    called: list[str] = []
    with on_worker(worker(), on_failure=lambda: called.append("fail")):
        called.append("run")
        raise error(None, None, "socket closed")
    assert called == ["run", "fail"]


def test_any_other_error_reaches_the_caller() -> None:
    called: list[str] = []
    with (
        pytest.raises(tf.errors.InvalidArgumentError, match="no such row"),
        on_worker(worker(), on_failure=lambda: called.append("fail")),
    ):
        raise tf.errors.InvalidArgumentError(None, None, "no such row")
    assert not called


def test_a_block_without_failures_just_runs() -> None:
    called: list[str] = []
    with on_worker(worker(), on_failure=lambda: called.append("fail")):
        called.append("run")
    assert called == ["run"]
