"""The chief waits for the other tasks: until each has answered its call, or registered with it."""

from __future__ import annotations

import dataclasses
import select
import socket
import threading
import time
from collections.abc import Mapping, Sequence

from tfps.cluster.spec import ClusterSpec, Task
from tfps.doctor import calls
from tfps.doctor.findings import joined, printable
from tfps.doctor.observations import CallFailure, FailureKind, TaskAnswer, TaskFacts
from tfps.doctor.protocol import Connection, Message, ProtocolError, read
from tfps.log import say

VisitResult = TaskAnswer | CallFailure

_POLL_EVERY_S = 0.1
_VISIT_EVERY_S = 0.25
_SAY_EVERY_S = 5.0
# A task that calls the chief and cannot be called by it may be about to listen.
_GRACE_S = 5.0

_CHECK_EVERY_S = 0.5
_GOODBYE_TIMEOUT_S = 2.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Registration:
    """What a task told the chief when it called, and the time by `time.monotonic`."""

    facts: TaskFacts
    at_s: float


class Registrations:
    """The tasks that have called the chief, including those that the chief cannot call.

    The chief keeps each task's connection open until it tells all of them to end.
    """

    def __init__(self) -> None:
        """Start without any."""
        self._registrations: dict[Task, Registration] = {}
        self._changed = threading.Condition()
        self._over = False
        self._num_open = 0

    def of(self, task: Task) -> Registration | None:
        """Return a task's registration; None if it has not called."""
        return self._registrations.get(task)

    def answer(self, connection: Connection, message: Message) -> None:
        """Answer `report`: note the task's facts, confirm, and tell the task when to end.

        Raises:
            ProtocolError: The message holds no facts of a task.
            OSError: The task is gone.
        """
        facts = read(TaskFacts, message.get("facts"))
        if facts.task is None:
            raise ProtocolError("reports as no task")
        with self._changed:
            self._registrations[facts.task] = Registration(facts=facts, at_s=time.monotonic())
            self._num_open += 1
        try:
            connection.send({"noted": True})
            self._wait_until_over(connection)
            connection.send({"end": True})
        finally:
            with self._changed:
                self._num_open -= 1
                self._changed.notify_all()

    def end(self) -> None:
        """Tell all registered tasks to end, and return when they have been told."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._num_open == 0, _GOODBYE_TIMEOUT_S)

    def _wait_until_over(self, connection: Connection) -> None:
        with self._changed:
            while not self._changed.wait_for(lambda: self._over, _CHECK_EVERY_S):
                if _is_gone(connection.socket):
                    raise ConnectionResetError("the task is gone")


def wait(
    spec: ClusterSpec, tasks: Sequence[Task], registrations: Registrations, *, timeout_s: float
) -> dict[Task, VisitResult]:
    """Call the tasks until each has answered or certainly will not, or time is up.

    Args:
        spec: The tasks' addresses.
        tasks: The tasks to wait for.
        registrations: The tasks that have called the chief.
        timeout_s: When to give up.
    """
    latest: dict[Task, VisitResult] = {}
    over = threading.Event()
    for task in tasks:
        threading.Thread(target=_visit_until, args=(spec, task, latest, over), daemon=True).start()
    try:
        return _watch(spec, tasks, latest, registrations, timeout_s)
    finally:
        over.set()


def settled(
    latest: VisitResult | None, registration: Registration | None, now_s: float
) -> VisitResult | None:
    """Return what is certain about a task; None while it may still change.

    Args:
        latest: The result of the last call to it; None before the first has ended.
        registration: What it told when it called the chief; None if it has not called.
        now_s: The time by `time.monotonic`.
    """
    if isinstance(latest, TaskAnswer):
        return latest
    if registration is not None and registration.facts.port_fault:
        return CallFailure(kind=FailureKind.PORT, detail=registration.facts.port_fault)
    if latest is not None and latest.kind is FailureKind.MISPLACED:
        return latest
    if latest is None or registration is None or now_s - registration.at_s < _GRACE_S:
        return None
    is_blocked = latest.kind in (FailureKind.REFUSED, FailureKind.SILENT)
    return CallFailure(
        kind=FailureKind.ONE_WAY if is_blocked else latest.kind,
        detail=f"it calls the chief; called by the chief: {latest.detail}",
    )


def _watch(
    spec: ClusterSpec,
    tasks: Sequence[Task],
    latest: Mapping[Task, VisitResult],
    registrations: Registrations,
    timeout_s: float,
) -> dict[Task, VisitResult]:
    started = said = time.monotonic()
    while True:
        now = time.monotonic()
        results = {task: settled(latest.get(task), registrations.of(task), now) for task in tasks}
        waiting = [task for task, result in results.items() if result is None]
        if not waiting or now - started >= timeout_s:
            return {task: result or _failure(latest, task) for task, result in results.items()}
        if now - said >= _SAY_EVERY_S:
            said = now
            parts = [
                f"{task} ({spec.address(task)}): {_failure(latest, task).detail}"
                for task in waiting
            ]
            say(f"waiting: {printable(joined(parts))}.", "tfps doctor")
        time.sleep(_POLL_EVERY_S)


def _visit_until(
    spec: ClusterSpec, task: Task, latest: dict[Task, VisitResult], over: threading.Event
) -> None:
    while not over.is_set():
        latest[task] = calls.visit(spec, task)
        if isinstance(latest[task], TaskAnswer):
            return
        over.wait(_VISIT_EVERY_S)


def _failure(latest: Mapping[Task, VisitResult], task: Task) -> CallFailure:
    result = latest.get(task)
    if isinstance(result, CallFailure):
        return result
    return CallFailure(kind=FailureKind.SILENT, detail="no answer")


def _is_gone(end: socket.socket) -> bool:
    poller = select.poll()
    poller.register(end, select.POLLIN)
    return bool(poller.poll(0)) and not end.recv(1, socket.MSG_PEEK)
