"""What every other task does: answer the chief's requests until it ends the check."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
import time

from tfps.cluster.spec import ClusterSpec, Task
from tfps.cluster.tf_config import TFConfig
from tfps.doctor import calls, measure
from tfps.doctor.observations import LinkSpeed, TaskFacts
from tfps.doctor.protocol import Connection, Message, ProtocolError, read
from tfps.log import say

_DIAL_EVERY_S = 0.5
_CHECK_EVERY_S = 0.1


def respond(
    config: TFConfig, facts: TaskFacts, listener: socket.socket | None, *, timeout_s: float
) -> int:
    """Answer the chief, and the tasks that call on its behalf, until the chief ends the check.

    Args:
        config: The cluster and which of its tasks this process is.
        facts: What the task says of itself.
        listener: Listens at the task's address; None if the port is not available. The chief learns
            of that all the same, since the task also calls the chief.
        timeout_s: End after hearing nothing from the chief for this long.

    Returns:
        The exit code: 0 if the chief has ended the check, 1 if it never appeared or is gone.
    """
    contact = _ChiefContact()
    threading.Thread(target=_register, args=(config.cluster, facts, contact), daemon=True).start()
    with contextlib.ExitStack() as stack:
        if listener is not None:
            num_tasks = len(list(config.cluster))
            replies = _replies(config.cluster, facts, contact)
            stack.enter_context(calls.Answering(listener, replies, num_tasks=num_tasks))
        while not contact.over.wait(_CHECK_EVERY_S):
            if contact.silence_s() >= timeout_s:
                say(
                    f"{config.task} ends: nothing was heard of the chief "
                    f"({config.cluster.chief[0]}) for {timeout_s:g} s (--timeout-s).",
                    "tfps doctor",
                )
                return 1
    return 0


class _ChiefContact:
    """What this task has heard from the chief.

    Attributes:
        over: Set when the chief has ended the check.
    """

    def __init__(self) -> None:
        self.over = threading.Event()
        self._is_connected = False
        self._heard_at = time.monotonic()

    def heard(self) -> None:
        self._heard_at = time.monotonic()

    def connected(self) -> None:
        """Note that the chief keeps a connection to this task open, until `disconnected`."""
        self._is_connected = True

    def disconnected(self) -> None:
        if self._is_connected:
            self.heard()
        self._is_connected = False

    def silence_s(self) -> float:
        return 0.0 if self._is_connected else time.monotonic() - self._heard_at


def _register(spec: ClusterSpec, facts: TaskFacts, contact: _ChiefContact) -> None:
    """Register with the chief, again if it restarts, until the check is over."""
    (address,) = spec.chief
    content = dataclasses.asdict(facts)
    while not contact.over.is_set():
        with contextlib.suppress(OSError, ProtocolError), Connection.dial(address) as connection:
            try:
                connection.ask("report", facts=content)
                contact.connected()
                if (connection.receive(timeout_s=None) or {}).get("end"):
                    contact.over.set()
            finally:
                contact.disconnected()
        contact.over.wait(_DIAL_EVERY_S)


def _replies(spec: ClusterSpec, facts: TaskFacts, contact: _ChiefContact) -> dict[str, calls.Reply]:
    def tell_facts(connection: Connection, message: Message) -> None:
        contact.heard()
        connection.send({"facts": dataclasses.asdict(facts)})

    def reach(connection: Connection, message: Message) -> None:
        contact.heard()
        tasks = read(tuple[Task, ...], message.get("tasks"))
        failures = calls.at_once(lambda task: calls.reach(spec, task), tasks)
        connection.send({"faults": [dataclasses.asdict(one) if one else None for one in failures]})

    def pull(connection: Connection, message: Message) -> None:
        contact.heard()
        result = calls.pull(spec, read(Task, message.get("task")))
        key = "pull" if isinstance(result, LinkSpeed) else "fault"
        connection.send({key: dataclasses.asdict(result)})

    def end(connection: Connection, message: Message) -> None:
        connection.send({"end": True})
        contact.over.set()

    return {
        "facts": tell_facts,
        "reach": reach,
        "pull": pull,
        "end": end,
        "ping": measure.tell_clock,
        "give": measure.give,
    }
