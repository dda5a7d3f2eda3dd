"""Check that tasks answer, listen, reach one another, and agree on the cluster and the time."""

from __future__ import annotations

from collections.abc import Sequence

from tfps.cluster.spec import Task
from tfps.doctor.checks.network import SAME_MTU
from tfps.doctor.findings import Finding, Level, joined, names, offset, problems_or_ok
from tfps.doctor.observations import CallFailure, FailureKind, JobObservations, Unreached

CLOCK_WARN_S = 1.0
CLOCK_RED_S = 60.0

_TO_DO = {
    FailureKind.UNRESOLVED: "Correct the name in TF_CONFIG, or add it to DNS. In Kubernetes, check "
    "that the job's headless Service exists and that the pod runs.",
    FailureKind.REFUSED: "Run tfps doctor there with its TF_CONFIG, or look in its log why it "
    "ended. Check that the port in TF_CONFIG is its own.",
    FailureKind.SILENT: "Check that the host is up, and let the job's hosts through to this "
    "port: firewall, security group, NetworkPolicy.",
    FailureKind.UNROUTED: "Correct the address in TF_CONFIG, or add a route between the two "
    "networks.",
    FailureKind.STRANGER: "Run tfps doctor in place of the job's program, not beside it, and the "
    "same tfps on every task. End what has the port, or give the task another one.",
    FailureKind.MISPLACED: "Give every task its own address, and its own type and index in "
    "TF_CONFIG.",
    FailureKind.PORT: "End what has the port, or give the task another one in TF_CONFIG, above "
    "1023.",
    FailureKind.ONE_WAY: "Let the chief through to this port (firewall, security group, "
    "NetworkPolicy, the port that the container publishes), or correct the address in TF_CONFIG.",
    FailureKind.SMALL_ONLY: SAME_MTU,
    FailureKind.OTHER: "Correct the address in TF_CONFIG, or repair the network between the hosts.",
}


def answer(job: JobObservations) -> Sequence[Finding]:
    """Check that every task answers."""
    failures = {
        task: failure
        for task, failure in job.missing.items()
        if failure.kind is not FailureKind.PORT
    }
    hosts = {facts.host_id for facts in job.facts}
    ok = f"all {len(job.answers)} tasks are there, on {_count(len(hosts), 'host')}"
    return problems_or_ok(_by_kind(job, failures, "tasks"), "tasks", ok)


def config(job: JobObservations) -> Sequence[Finding]:
    """Check that TF_CONFIG has the same cluster everywhere, except for evaluators."""
    expected = job.spec.without_evaluators().as_dict()
    different: dict[str, list[str]] = {}
    for facts in job.facts:
        for kind in ("chief", "worker", "ps"):
            if facts.cluster.get(kind, []) != expected.get(kind, []):
                different.setdefault(kind, []).append(facts.label)
    problems = [
        Finding(
            check="TF_CONFIG",
            level=Level.RED,
            says=f"cluster.{kind} of {names(tasks)} is not that of the chief",
            to_do="Give all tasks the same cluster; only the entry task differs.",
        )
        for kind, tasks in different.items()
    ]
    return problems_or_ok(problems, "TF_CONFIG", "the same cluster on all tasks that answer")


def ports(job: JobObservations) -> Sequence[Finding]:
    """Check that every task can listen at its port."""
    failures = {
        facts.task: CallFailure(kind=FailureKind.PORT, detail=facts.port_fault)
        for facts in job.facts
        if facts.task is not None and facts.port_fault
    }
    return problems_or_ok(
        _by_kind(job, failures, "ports"),
        "ports",
        "every task that was heard of can listen at its port",
    )


def reach(job: JobObservations) -> Sequence[Finding]:
    """Check that workers and ps reach one another and the chief."""
    groups: dict[tuple[Task, CallFailure], list[Unreached]] = {}
    for unreached in job.unreached:
        key = (unreached.called, unreached.failure)
        groups.setdefault(key, []).append(unreached)
    problems = [
        Finding(
            check="reachability",
            level=Level.RED,
            says=f"from {names(one.caller for one in group)} to {called} "
            f"({job.spec.address(called)}): {failure.detail}",
            to_do=_TO_DO[failure.kind],
        )
        for (called, failure), group in groups.items()
    ]
    return problems_or_ok(
        problems, "reachability", "workers and ps that answer reach one another and the chief"
    )


def clock(job: JobObservations) -> Sequence[Finding]:
    """Check that the clocks agree with the chief's."""
    offsets = {
        label: answer.clock for label, answer in job.answers.items() if answer.clock is not None
    }
    # What is certain of each offset.
    least_s = {label: abs(clock.offset_s) - clock.error_s for label, clock in offsets.items()}
    problems = []
    for level, above_s, below_s in (
        (Level.RED, CLOCK_RED_S, float("inf")),
        (Level.WARN, CLOCK_WARN_S, CLOCK_RED_S),
    ):
        tasks = [label for label, off_s in least_s.items() if above_s < off_s <= below_s]
        if tasks:
            listed = joined([f"{task} {offset(offsets[task].offset_s)}" for task in tasks], ", ")
            problems.append(
                Finding(
                    check="clock",
                    level=level,
                    says=f"off the chief's clock by more than {above_s:g} s: {listed}",
                    to_do="Synchronize the hosts' clocks (chrony, systemd-timesyncd): otherwise "
                    "logs and checkpoints are out of order, and signed requests to storage fail.",
                )
            )
    most_s = max((abs(clock.offset_s) for clock in offsets.values()), default=0.0)
    return problems_or_ok(problems, "clock", f"within {max(most_s, 1e-3):.3f} s of the chief's")


def _by_kind(job: JobObservations, failures: dict[Task, CallFailure], check: str) -> list[Finding]:
    """Return a finding for each kind of failure."""
    findings = []
    for kind in dict.fromkeys(failure.kind for failure in failures.values()):
        parts = [
            f"{task} ({job.spec.address(task)}): {failure.detail}"
            for task, failure in failures.items()
            if failure.kind is kind
        ]
        findings.append(
            Finding(check=check, level=Level.RED, says=joined(parts), to_do=_TO_DO[kind])
        )
    return findings


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
