"""Call other tasks of the cluster by their names."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Sequence
from concurrent import futures
from typing import TypeVar

from tfps.cluster.spec import ClusterSpec, Task
from tfps.doctor import faults, measure
from tfps.doctor.facts import Facts
from tfps.doctor.faults import Fault, Kind
from tfps.doctor.observed import Answer, Pull
from tfps.doctor.protocol import Connection, NoAnswerError, ProtocolError, read

FAILURES = (OSError, ProtocolError)
_REACH_TIMEOUT_S = 60.0
_PULL_TIMEOUT_S = 30.0
_END_TIMEOUT_S = 2.0
_MOST_AT_ONCE = 64

S = TypeVar("S")
T = TypeVar("T")


def visit(spec: ClusterSpec, task: Task) -> Answer | Fault:
    """Ask a task for its clock and its facts."""
    try:
        with _dial(spec, task) as connection:
            clock = measure.clock(measure.ping(connection))
            try:
                facts = read(Facts, connection.ask("facts").get("facts"))
            except NoAnswerError:  # To small messages it gave one.
                return Fault(kind=Kind.SMALL_ONLY, detail="only small messages get through")
            ip = str(connection.socket.getpeername()[0])
    except FAILURES as error:
        return faults.of_error(error)
    if facts.task != task:
        return Fault(kind=Kind.MISPLACED, detail=f"{facts.label} answers there, on {facts.host}")
    return Answer(facts=facts, ip=ip, clock=clock)


def reach(spec: ClusterSpec, task: Task) -> Fault | None:
    """Return why this process does not reach a task; None when it does."""
    try:
        with _dial(spec, task) as connection:
            measure.ping(connection, 1)
    except FAILURES as error:
        return faults.of_error(error)
    return None


def pull(spec: ClusterSpec, task: Task) -> Pull | Fault:
    """Measure the link on which this process receives from a task."""
    try:
        with _dial(spec, task) as connection:
            return measure.pull(connection)
    except FAILURES as error:
        return faults.of_error(error)


def have_reach(spec: ClusterSpec, caller: Task, called: Sequence[Task]) -> tuple[Fault | None, ...]:
    """Have a task call others; return for each why it does not reach it.

    Raises:
        OSError: The caller cannot be asked.
        ProtocolError: It does not answer so.
    """
    asked = [dataclasses.asdict(task) for task in called]
    with _dial(spec, caller) as connection:
        answer = connection.ask("reach", timeout_s=_REACH_TIMEOUT_S, tasks=asked)
    found = read(tuple[Fault | None, ...], answer.get("faults"))
    if len(found) != len(called):
        raise ProtocolError(f"reaches for {len(found)} tasks instead of {len(called)}")
    return found


def have_pull(spec: ClusterSpec, receiver: Task, sender: Task) -> Pull | Fault:
    """Have a task measure the link on which it receives from another."""
    try:
        with _dial(spec, receiver) as connection:
            asked = dataclasses.asdict(sender)
            answer = connection.ask("pull", timeout_s=_PULL_TIMEOUT_S, task=asked)
        if "fault" in answer:
            return read(Fault, answer["fault"])
        return read(Pull, answer.get("pull"))
    except FAILURES as error:
        return faults.of_error(error)


def tell_end(spec: ClusterSpec, task: Task) -> None:
    """Tell a task to end; one that cannot be told has ended or does so by its timeout."""
    with contextlib.suppress(*FAILURES), _dial(spec, task) as connection:
        connection.ask("end", timeout_s=_END_TIMEOUT_S)


def at_once(call: Callable[[S], T], items: Iterable[S]) -> list[T]:
    """Return what a call gives for each item; calls that wait for tasks do so at the same time."""
    with futures.ThreadPoolExecutor(_MOST_AT_ONCE) as pool:
        return list(pool.map(call, items))


def _dial(spec: ClusterSpec, task: Task) -> Connection:
    try:
        address = spec.address(task)
    except ValueError as error:  # A stranger has asked for it.
        raise ProtocolError(str(error)) from error
    return Connection.dial(address)
