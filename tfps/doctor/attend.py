"""A task that is no chief: it answers until the chief has what it wants."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
import time

from tfps.cluster.spec import ClusterSpec, Task
from tfps.cluster.tf_config import TFConfig
from tfps.doctor import calls, measure
from tfps.doctor.answering import Answering, Reply
from tfps.doctor.facts import Facts
from tfps.doctor.log import say
from tfps.doctor.observed import Pull
from tfps.doctor.protocol import Connection, Message, ProtocolError, read

_DIAL_EVERY_S = 0.5
_LOOK_EVERY_S = 0.1


def attend(
    config: TFConfig, facts: Facts, listener: socket.socket | None, *, timeout_s: float
) -> int:
    """Answer the chief and the tasks that it sends, until it says that this is over.

    Args:
        config: The cluster and which of its tasks this process is.
        facts: What it says of itself.
        listener: Listens at its address; None when that port cannot be had. The chief hears of this
            all the same, for a task also calls it.
        timeout_s: End when nothing was heard of the chief for so long.

    Returns:
        The exit code: 0 when the chief has ended it, 1 when it never came or is gone.
    """
    chief = _Chief()
    report = threading.Thread(target=_report, args=(config.cluster, facts, chief), daemon=True)
    report.start()
    with contextlib.ExitStack() as stack:
        if listener is not None:
            tasks = len(list(config.cluster))
            replies = _replies(config.cluster, facts, chief)
            stack.enter_context(Answering(listener, replies, num_tasks=tasks))
        while not chief.over.wait(_LOOK_EVERY_S):
            if chief.silence_s() >= timeout_s:
                say(
                    f"{config.task} ends: nothing was heard of the chief "
                    f"({config.cluster.chief[0]}) for {timeout_s:g} s (--timeout-s)."
                )
                return 1
    return 0


class _Chief:
    """What this task has heard of the chief.

    Attributes:
        over: Set when the chief has said that the check is over.
    """

    def __init__(self) -> None:
        self.over = threading.Event()
        self._holds = False
        self._heard_at = time.monotonic()

    def heard(self) -> None:
        self._heard_at = time.monotonic()

    def holds(self) -> None:
        """Note that the chief holds this task's connection: it is there until `lost`."""
        self._holds = True

    def lost(self) -> None:
        if self._holds:
            self.heard()
        self._holds = False

    def silence_s(self) -> float:
        return 0.0 if self._holds else time.monotonic() - self._heard_at


def _report(spec: ClusterSpec, facts: Facts, chief: _Chief) -> None:
    """Tell the chief of this task, again when it is restarted, until the check is over."""
    (address,) = spec.chief
    content = dataclasses.asdict(facts)
    while not chief.over.is_set():
        with contextlib.suppress(OSError, ProtocolError), Connection.dial(address) as connection:
            try:
                connection.ask("report", facts=content)
                chief.holds()
                if (connection.receive(timeout_s=None) or {}).get("end"):
                    chief.over.set()
            finally:
                chief.lost()
        chief.over.wait(_DIAL_EVERY_S)


def _replies(spec: ClusterSpec, facts: Facts, chief: _Chief) -> dict[str, Reply]:
    def tell_facts(connection: Connection, message: Message) -> None:
        chief.heard()
        connection.send({"facts": dataclasses.asdict(facts)})

    def reach(connection: Connection, message: Message) -> None:
        chief.heard()
        tasks = read(tuple[Task, ...], message.get("tasks"))
        found = calls.at_once(lambda task: calls.reach(spec, task), tasks)
        connection.send({"faults": [dataclasses.asdict(one) if one else None for one in found]})

    def pull(connection: Connection, message: Message) -> None:
        chief.heard()
        found = calls.pull(spec, read(Task, message.get("task")))
        key = "pull" if isinstance(found, Pull) else "fault"
        connection.send({key: dataclasses.asdict(found)})

    def end(connection: Connection, message: Message) -> None:
        connection.send({"end": True})
        chief.over.set()

    return {
        "facts": tell_facts,
        "reach": reach,
        "pull": pull,
        "end": end,
        "ping": measure.tell_clock,
        "give": measure.give,
    }
