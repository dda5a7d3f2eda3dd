"""The chief waits until every task has answered, and says which ones it waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from tfps.cluster.spec import ClusterSpec, Task
from tfps.doctor import calls
from tfps.doctor.faults import Fault, Kind
from tfps.doctor.log import say
from tfps.doctor.observed import Answer
from tfps.doctor.reports import Report, Reports
from tfps.doctor.wording import joined

Outcome = Answer | Fault

_LOOK_EVERY_S = 0.1
_VISIT_EVERY_S = 0.25
_SAY_EVERY_S = 5.0
# A task that calls the chief and cannot be called by it may be just about to listen.
_GRACE_S = 5.0


def wait(
    spec: ClusterSpec, tasks: Sequence[Task], reports: Reports, *, timeout_s: float
) -> dict[Task, Outcome]:
    """Call the tasks until each has answered, or it is sure that it will not, or time is up.

    Args:
        spec: The addresses.
        tasks: The tasks to wait for.
        reports: What they tell by themselves.
        timeout_s: When to give up.
    """
    latest: dict[Task, Outcome] = {}
    over = threading.Event()
    for task in tasks:
        threading.Thread(target=_visit_until, args=(spec, task, latest, over), daemon=True).start()
    try:
        return _watch(spec, tasks, latest, reports, timeout_s)
    finally:
        over.set()


def settled(latest: Outcome | None, report: Report | None, now_s: float) -> Outcome | None:
    """Return what is sure of a task; None when it may still change.

    Args:
        latest: What came of the last call to it; None before the first has ended.
        report: What it has told by itself; None when it has not.
        now_s: The time by `time.monotonic`.
    """
    if isinstance(latest, Answer):
        return latest
    if report is not None and report.facts.port_fault:
        return Fault(kind=Kind.PORT, detail=report.facts.port_fault)
    if latest is not None and latest.kind is Kind.MISPLACED:
        return latest
    if latest is not None and report is not None and now_s - report.at_s >= _GRACE_S:
        kind = Kind.ONE_WAY if latest.kind in (Kind.REFUSED, Kind.SILENT) else latest.kind
        return Fault(kind=kind, detail=f"it calls the chief; called by the chief: {latest.detail}")
    return None


def _watch(
    spec: ClusterSpec,
    tasks: Sequence[Task],
    latest: Mapping[Task, Outcome],
    reports: Reports,
    timeout_s: float,
) -> dict[Task, Outcome]:
    started = said = time.monotonic()
    while True:
        now = time.monotonic()
        sure = {task: settled(latest.get(task), reports.of(task), now) for task in tasks}
        waiting = [task for task, outcome in sure.items() if outcome is None]
        if not waiting or now - started >= timeout_s:
            return {task: outcome or _last(latest, task) for task, outcome in sure.items()}
        if now - said >= _SAY_EVERY_S:
            said = now
            parts = [
                f"{task} ({spec.address(task)}): {_last(latest, task).detail}" for task in waiting
            ]
            say(f"waiting: {joined(parts)}.")
        time.sleep(_LOOK_EVERY_S)


def _visit_until(
    spec: ClusterSpec, task: Task, latest: dict[Task, Outcome], over: threading.Event
) -> None:
    while not over.is_set():
        latest[task] = calls.visit(spec, task)
        if isinstance(latest[task], Answer):
            return
        over.wait(_VISIT_EVERY_S)


def _last(latest: Mapping[Task, Outcome], task: Task) -> Fault:
    outcome = latest.get(task)
    if isinstance(outcome, Fault):
        return outcome
    return Fault(kind=Kind.SILENT, detail="no answer")
