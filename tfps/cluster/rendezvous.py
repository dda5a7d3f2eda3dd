"""The chief waits until every worker and ps listens, and names those it waits for."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent import futures

from tfps.cluster import addresses
from tfps.cluster.spec import ClusterSpec, Task
from tfps.errors import ClusterTimeoutError
from tfps.log import say

_PROBE_EVERY_S = 0.25
_MOST_PROBES_AT_ONCE = 64


def wait_for_tasks(
    spec: ClusterSpec, *, timeout_s: float = 600.0, report_every_s: float = 10.0
) -> None:
    """Wait until every worker and ps of the cluster accepts connections.

    TensorFlow itself would wait silently and forever. Every `report_every_s` seconds this names the
    missing tasks on standard error. Meanwhile it accepts connections at the chief's address, so
    that the tasks which are running see that the chief is alive.

    Raises:
        ClusterTimeoutError: Tasks are still missing after `timeout_s` seconds.
    """
    started = time.monotonic()
    reported = started
    with _answering(spec.chief):
        missing = _missing(spec.serving())
        while missing:
            now = time.monotonic()
            if now - started >= timeout_s:
                raise ClusterTimeoutError(
                    f"Waited {timeout_s:g} s for {_names(missing)}. Check that each of them runs "
                    "and that the chief can reach its address, or allow more time with "
                    "start_timeout_s."
                )
            if now - reported >= report_every_s:
                reported = now
                say(f"waiting for {_names(missing)}")
            time.sleep(min(_PROBE_EVERY_S, timeout_s))
            missing = _missing(missing)


def _missing(tasks: Sequence[tuple[Task, str]]) -> tuple[tuple[Task, str], ...]:
    if not tasks:
        return ()
    with futures.ThreadPoolExecutor(min(len(tasks), _MOST_PROBES_AT_ONCE)) as pool:
        answers = list(pool.map(lambda task: addresses.accepts_connections(task[1]), tasks))
    return tuple(
        task for task, is_listening in zip(tasks, answers, strict=True) if not is_listening
    )


def _names(tasks: Sequence[tuple[Task, str]]) -> str:
    return ", ".join(f"{task} ({address})" for task, address in tasks)


@contextlib.contextmanager
def _answering(chief: Sequence[str]) -> Iterator[None]:
    """Accept (and close) connections to the chief's address until the block ends."""
    if not chief:
        yield
        return
    _, port = addresses.host_and_port(chief[0])
    with socket.create_server(("", port)) as listener:
        thread = threading.Thread(target=_accept_until_closed, args=(listener,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            # Closing a socket does not wake a thread that waits in accept(); shutting it down does.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept_until_closed(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            connection.close()
