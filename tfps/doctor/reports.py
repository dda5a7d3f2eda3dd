"""What tasks tell the chief by themselves: also those that the chief cannot call."""

from __future__ import annotations

import dataclasses
import select
import socket
import threading
import time

from tfps.cluster.spec import Task
from tfps.doctor.facts import Facts
from tfps.doctor.protocol import Connection, Message, ProtocolError, read

_LOOK_EVERY_S = 0.5
_GOODBYE_TIMEOUT_S = 2.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """What a task has told by itself, and when by `time.monotonic`."""

    facts: Facts
    at_s: float


class Reports:
    """The tasks that have called; each is held on its connection until all are told to end."""

    def __init__(self) -> None:
        """Hold nobody yet."""
        self._reports: dict[Task, Report] = {}
        self._changed = threading.Condition()
        self._over = False
        self._num_held = 0

    def of(self, task: Task) -> Report | None:
        """Return what a task has told; None when it has not called."""
        return self._reports.get(task)

    def hold(self, connection: Connection, message: Message) -> None:
        """Answer `report`: note the facts, say so, and tell the task to end when it is time.

        Raises:
            ProtocolError: The report is none.
            OSError: The task is gone.
        """
        facts = read(Facts, message.get("facts"))
        if facts.task is None:
            raise ProtocolError("reports as no task")
        with self._changed:
            self._reports[facts.task] = Report(facts=facts, at_s=time.monotonic())
            self._num_held += 1
        try:
            connection.send({"noted": True})
            self._wait_until_over(connection)
            connection.send({"end": True})
        finally:
            with self._changed:
                self._num_held -= 1
                self._changed.notify_all()

    def end(self) -> None:
        """Tell all that are held to end, and return when they have been told."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._num_held == 0, _GOODBYE_TIMEOUT_S)

    def _wait_until_over(self, connection: Connection) -> None:
        with self._changed:
            while not self._changed.wait_for(lambda: self._over, _LOOK_EVERY_S):
                if _is_gone(connection.socket):
                    raise ConnectionResetError("the task is gone")


def _is_gone(end: socket.socket) -> bool:
    poller = select.poll()
    poller.register(end, select.POLLIN)
    return bool(poller.poll(0)) and not end.recv(1, socket.MSG_PEEK)
