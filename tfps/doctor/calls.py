"""Calls between tasks: make them by the tasks' names, and answer them at a task's port."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent import futures
from typing import Self, TypeVar

from tfps.cluster import addresses
from tfps.cluster.spec import ClusterSpec, Task
from tfps.doctor import machine, measure
from tfps.doctor.observations import CallFailure, FailureKind, LinkSpeed, TaskAnswer, TaskFacts
from tfps.doctor.protocol import Connection, Message, NoAnswerError, ProtocolError, read

FAILURES = (OSError, ProtocolError)
_REACH_TIMEOUT_S = 60.0
_PULL_TIMEOUT_S = 30.0
_END_TIMEOUT_S = 2.0
_MOST_AT_ONCE = 64

Reply = Callable[[Connection, Message], None]
"""Answers one request on its connection. An OSError or ProtocolError closes the connection."""

_MOST_STRANGERS = 64
_BACKLOG = 128
_PAUSE_S = 0.05

S = TypeVar("S")
T = TypeVar("T")


def visit(spec: ClusterSpec, task: Task) -> TaskAnswer | CallFailure:
    """Ask a task for its clock and its facts."""
    try:
        with _dial(spec, task) as connection:
            clock = measure.clock_offset(measure.ping(connection))
            try:
                facts = read(TaskFacts, connection.ask("facts").get("facts"))
            except NoAnswerError:  # It has answered small messages.
                detail = "only small messages get through"
                return CallFailure(kind=FailureKind.SMALL_ONLY, detail=detail)
            ip = str(connection.socket.getpeername()[0])
    except FAILURES as error:
        return CallFailure.of_error(error)
    if facts.task != task:
        detail = f"{facts.label} answers there, on {facts.host}"
        return CallFailure(kind=FailureKind.MISPLACED, detail=detail)
    return TaskAnswer(facts=facts, ip=ip, clock=clock)


def reach(spec: ClusterSpec, task: Task) -> CallFailure | None:
    """Return why this process cannot reach a task; None if it can."""
    try:
        with _dial(spec, task) as connection:
            measure.ping(connection, 1)
    except FAILURES as error:
        return CallFailure.of_error(error)
    return None


def pull(spec: ClusterSpec, task: Task) -> LinkSpeed | CallFailure:
    """Measure the link on which this process receives from a task."""
    try:
        with _dial(spec, task) as connection:
            return measure.pull(connection)
    except FAILURES as error:
        return CallFailure.of_error(error)


def ask_to_reach(
    spec: ClusterSpec, caller: Task, called: Sequence[Task]
) -> tuple[CallFailure | None, ...]:
    """Ask a task to call others; return for each of these why it cannot be reached, or None.

    Raises:
        OSError: The caller cannot be asked.
        ProtocolError: Its answer has the wrong form.
    """
    tasks = [dataclasses.asdict(task) for task in called]
    with _dial(spec, caller) as connection:
        answer = connection.ask("reach", timeout_s=_REACH_TIMEOUT_S, tasks=tasks)
    failures = read(tuple[CallFailure | None, ...], answer.get("faults"))
    if len(failures) != len(called):
        raise ProtocolError(f"reaches for {len(failures)} tasks instead of {len(called)}")
    return failures


def ask_to_pull(spec: ClusterSpec, receiver: Task, sender: Task) -> LinkSpeed | CallFailure:
    """Ask a task to measure the link on which it receives from another."""
    try:
        with _dial(spec, receiver) as connection:
            task = dataclasses.asdict(sender)
            answer = connection.ask("pull", timeout_s=_PULL_TIMEOUT_S, task=task)
        if "fault" in answer:
            return read(CallFailure, answer["fault"])
        return read(LinkSpeed, answer.get("pull"))
    except FAILURES as error:
        return CallFailure.of_error(error)


def tell_end(spec: ClusterSpec, task: Task) -> None:
    """Tell a task to end. If that fails, the task has ended already, or ends by its timeout."""
    with contextlib.suppress(*FAILURES), _dial(spec, task) as connection:
        connection.ask("end", timeout_s=_END_TIMEOUT_S)


def at_once(call: Callable[[S], T], items: Iterable[S]) -> list[T]:
    """Return the result of a call for each item; the calls run in threads at the same time."""
    with futures.ThreadPoolExecutor(_MOST_AT_ONCE) as pool:
        return list(pool.map(call, items))


def _dial(spec: ClusterSpec, task: Task) -> Connection:
    try:
        address = spec.address(task)
    except ValueError as error:  # A stranger has asked for a task that does not exist.
        raise ProtocolError(str(error)) from error
    return Connection.dial(address)


def listen(address: str) -> socket.socket:
    """Listen at the port of an address on all interfaces, as TensorFlow's servers do.

    Raises:
        OSError: The port is not available.
    """
    _, port = addresses.host_and_port(address)
    if socket.has_dualstack_ipv6():
        family = socket.AF_INET6
        return socket.create_server(
            ("", port), family=family, backlog=_BACKLOG, dualstack_ipv6=True
        )
    return socket.create_server(("", port), backlog=_BACKLOG)


def port_fault(address: str, error: OSError) -> str:
    """Say why a task cannot listen at its address."""
    _, port = addresses.host_and_port(address)
    if error.errno == errno.EADDRINUSE:
        holder = machine.listening_process(port) or "another process"
        return f"{holder} has port {port}"
    return f"port {port} cannot be had: {error.strerror or error}"


class Answering:
    """Answers the connections to a listening socket, one thread each, until it is closed."""

    def __init__(
        self, listener: socket.socket, replies: Mapping[str, Reply], *, num_tasks: int
    ) -> None:
        """Start to answer.

        Args:
            listener: The socket; this object closes it.
            replies: How to answer each request.
            num_tasks: How many tasks may call. It limits the number of connections; some strangers
                may connect as well.
        """
        self._listener = listener
        self._replies = replies
        self._free_slots = threading.Semaphore(2 * num_tasks + _MOST_STRANGERS)
        self._closed = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        # Closing a socket does not wake a thread that waits in accept(); shutting it down does.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                end, _ = self._listener.accept()
            except OSError:  # The caller is gone already, or there are too many open files.
                self._closed.wait(_PAUSE_S)
                continue
            if self._free_slots.acquire(blocking=False):
                threading.Thread(target=self._answer, args=(end,), daemon=True).start()
            else:
                end.close()

    def _answer(self, end: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError, ProtocolError), Connection(end) as connection:
                while (message := connection.receive()) is not None:
                    reply = self._replies.get(str(message.get("ask")))
                    if reply is None:
                        return
                    reply(connection, message)
        finally:
            end.close()
            self._free_slots.release()
