"""Check that tasks are there, listen, reach one another, and agree on the cluster and the time."""

from __future__ import annotations

from collections.abc import Sequence

from tfps.cluster.spec import Task
from tfps.doctor.checks.links import SAME_MTU
from tfps.doctor.faults import Fault, Kind
from tfps.doctor.finding import Finding, Level, or_well
from tfps.doctor.observed import Observed, Unreached
from tfps.doctor.wording import joined, names, offset

CLOCK_WARN_S = 1.0
CLOCK_RED_S = 60.0

_TO_DO = {
    Kind.UNRESOLVED: "Correct the name in TF_CONFIG, or have DNS know it. In Kubernetes, check "
    "that the job's headless Service exists and that the pod runs.",
    Kind.REFUSED: "Run tfps doctor there with its TF_CONFIG, or see in its log why it ended. Check "
    "that the port in TF_CONFIG is its own.",
    Kind.SILENT: "Check that the host is up, and let the job's hosts through to this port: "
    "firewall, security group, NetworkPolicy.",
    Kind.UNROUTED: "Correct the address in TF_CONFIG, or add a route between the two networks.",
    Kind.STRANGER: "Run tfps doctor in place of the job's program, not beside it, and the same "
    "tfps on every task. End what has the port, or give the task another one.",
    Kind.MISPLACED: "Give every task its own address, and its own type and index in TF_CONFIG.",
    Kind.PORT: "End what has the port, or give the task another one in TF_CONFIG, above 1023.",
    Kind.ONE_WAY: "Let the chief through to this port (firewall, security group, NetworkPolicy, "
    "the port that the container publishes), or correct the address in TF_CONFIG.",
    Kind.SMALL_ONLY: SAME_MTU,
    Kind.OTHER: "Correct the address in TF_CONFIG, or repair the network between the hosts.",
}


def answer(observed: Observed) -> Sequence[Finding]:
    """Check that every task answers."""
    faults = {task: one for task, one in observed.missing.items() if one.kind is not Kind.PORT}
    hosts = {facts.host_id for facts in observed.facts}
    well = f"all {len(observed.answers)} tasks are there, on {_count(len(hosts), 'host')}"
    return or_well(_of_kinds(observed, faults, "tasks"), "tasks", well)


def config(observed: Observed) -> Sequence[Finding]:
    """Check that TF_CONFIG has the same cluster everywhere, evaluators apart."""
    expected = observed.spec.without_evaluators().as_dict()
    other: dict[str, list[str]] = {}
    for facts in observed.facts:
        for kind in ("chief", "worker", "ps"):
            if facts.cluster.get(kind, []) != expected.get(kind, []):
                other.setdefault(kind, []).append(facts.label)
    faults = [
        Finding(
            check="TF_CONFIG",
            level=Level.RED,
            says=f"cluster.{kind} of {names(tasks)} is not that of the chief",
            to_do="Give all tasks the same cluster; only the entry task differs.",
        )
        for kind, tasks in other.items()
    ]
    return or_well(faults, "TF_CONFIG", "the same cluster on all tasks that answer")


def ports(observed: Observed) -> Sequence[Finding]:
    """Check that every task can listen at its port."""
    faults = {
        facts.task: Fault(kind=Kind.PORT, detail=facts.port_fault)
        for facts in observed.facts
        if facts.task is not None and facts.port_fault
    }
    return or_well(
        _of_kinds(observed, faults, "ports"),
        "ports",
        "every task that was heard of can listen at its port",
    )


def reach(observed: Observed) -> Sequence[Finding]:
    """Check that workers and ps reach one another and the chief."""
    callers: dict[tuple[Task, Fault], list[Unreached]] = {}
    for one in observed.unreached:
        callers.setdefault((one.called, one.fault), []).append(one)
    faults = [
        Finding(
            check="reachability",
            level=Level.RED,
            says=f"from {names(one.caller for one in ones)} to {called} "
            f"({observed.spec.address(called)}): {fault.detail}",
            to_do=_TO_DO[fault.kind],
        )
        for (called, fault), ones in callers.items()
    ]
    return or_well(
        faults, "reachability", "workers and ps that answer reach one another and the chief"
    )


def clock(observed: Observed) -> Sequence[Finding]:
    """Check that the clocks agree with the chief's."""
    offsets = {
        label: given.clock for label, given in observed.answers.items() if given.clock is not None
    }
    sure_s = {label: abs(one.offset_s) - one.error_s for label, one in offsets.items()}
    faults = []
    for level, above_s, below_s in (
        (Level.RED, CLOCK_RED_S, float("inf")),
        (Level.WARN, CLOCK_WARN_S, CLOCK_RED_S),
    ):
        tasks = [label for label, off_s in sure_s.items() if above_s < off_s <= below_s]
        if tasks:
            given = joined([f"{task} {offset(offsets[task].offset_s)}" for task in tasks], ", ")
            faults.append(
                Finding(
                    check="clock",
                    level=level,
                    says=f"off the chief's clock by more than {above_s:g} s: {given}",
                    to_do="Have the hosts keep time (chrony, systemd-timesyncd): logs and "
                    "checkpoints come out of order, and signed requests to storage fail.",
                )
            )
    most_s = max((abs(one.offset_s) for one in offsets.values()), default=0.0)
    return or_well(faults, "clock", f"within {max(most_s, 1e-3):.3f} s of the chief's")


def _of_kinds(observed: Observed, faults: dict[Task, Fault], check: str) -> list[Finding]:
    """Return a finding for each kind of fault."""
    found = []
    for kind in dict.fromkeys(fault.kind for fault in faults.values()):
        parts = [
            f"{task} ({observed.spec.address(task)}): {fault.detail}"
            for task, fault in faults.items()
            if fault.kind is kind
        ]
        found.append(Finding(check=check, level=Level.RED, says=joined(parts), to_do=_TO_DO[kind]))
    return found


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
