"""TaskFacts and observations made up for a test."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from tfps.cluster.spec import ClusterSpec, Task
from tfps.doctor.findings import Finding, Level
from tfps.doctor.observations import (
    Disk,
    Gpus,
    JobObservations,
    Link,
    LinkSpeed,
    ResourceLimits,
    TaskAnswer,
    TaskFacts,
)

GIB = 1 << 30
CHIEF = Task(type="chief", index=0)
WORKER, OTHER_WORKER = (Task(type="worker", index=index) for index in range(2))
PS, OTHER_PS = (Task(type="ps", index=index) for index in range(2))
TASKS = (CHIEF, WORKER, OTHER_WORKER, PS, OTHER_PS)
SPEC = ClusterSpec(
    chief=("10.0.0.1:2222",),
    worker=("10.0.0.2:2222", "10.0.0.3:2222"),
    ps=("10.0.0.4:2222", "10.0.0.5:2222"),
)
VERSIONS = {
    "Python": "3.11.7",
    "tfps": "0.1.0",
    "TensorFlow": "2.21.0",
    "Keras": "3.15.1",
    "keras-nlp": "0.32.0",
    "keras-hub": "0.32.0",
    "tensorflow-text": "2.21.1",
    "numpy": "2.4.6",
}
LIMITS = ResourceLimits(cores=8, memory_bytes=32 * GIB, available_bytes=30 * GIB, open_files=65536)


def facts(task: Task | None, **changes: Any) -> TaskFacts:
    """Return the facts of a task that is well, on a host of its own, with changes."""
    made: dict[str, Any] = {
        "task": task,
        "cluster": SPEC.as_dict() if task is not None else {},
        "host": f"host of {task}",
        "host_id": str(task),
        "network_id": str(task),
        "versions": VERSIONS,
        "limits": LIMITS,
        "disks": (Disk(path="/data", free_bytes=100 * GIB),),
        "gpus": Gpus(),
        "ips": ("10.0.0.9",),
    }
    return TaskFacts(**made | changes)


def limits(**changes: Any) -> ResourceLimits:
    return dataclasses.replace(LIMITS, **changes)


def observed(*given: TaskFacts, **changes: Any) -> JobObservations:
    """Return what is known of a job whose tasks are well, but for the facts that are given."""
    said = {task: facts(task) for task in TASKS} | {one.task: one for one in given if one.task}
    answers = {str(task): TaskAnswer(facts=one) for task, one in said.items()}
    return JobObservations(**{"spec": SPEC, "answers": answers} | changes)


def alone(**changes: Any) -> JobObservations:
    """Return what is known of a machine without a job."""
    said = facts(None, **changes)
    return JobObservations(spec=ClusterSpec(), answers={said.label: TaskAnswer(facts=said)})


def link(
    sender: Task, receiver: Task, *, round_trip_s: float = 1e-4, bytes_per_s: float = 1e9
) -> Link:
    pull = LinkSpeed(round_trip_s=round_trip_s, bytes_per_s=bytes_per_s)
    return Link(sender=sender, receiver=receiver, speed=pull)


def links(*given: Link) -> tuple[Link, ...]:
    """Return the links between workers and ps, both ways, all alike but for those given."""
    workers, ps = (WORKER, OTHER_WORKER), (PS, OTHER_PS)
    made = {
        way: link(*way) for one in workers for other in ps for way in ((one, other), (other, one))
    }
    return tuple((made | {(one.sender, one.receiver): one for one in given}).values())


def levels(findings: Iterable[Finding]) -> list[Level]:
    return [finding.level for finding in findings]


def only(findings: Iterable[Finding]) -> Finding:
    """Return the single finding, which says what to do if it is not well."""
    (finding,) = findings
    assert bool(finding.to_do) == (finding.level is not Level.OK)
    return finding
