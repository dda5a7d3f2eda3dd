"""Tasks: there, of one TF_CONFIG, listening, in reach, and of one time."""

from __future__ import annotations

import pytest

from tests.unit.doctor.sample_job import (
    CHIEF,
    OTHER_WORKER,
    PS,
    SPEC,
    WORKER,
    facts,
    levels,
    observed,
    only,
)
from tfps.doctor.checks import tasks
from tfps.doctor.findings import Level
from tfps.doctor.observations import CallFailure, ClockOffset, FailureKind, TaskAnswer, Unreached

REFUSED = CallFailure(kind=FailureKind.REFUSED, detail="connection refused")
SILENT = CallFailure(kind=FailureKind.SILENT, detail="no answer")


def test_a_job_that_is_well_is_well() -> None:
    for check in (tasks.answer, tasks.config, tasks.ports, tasks.reach, tasks.clock):
        assert only(check(observed())).level is Level.OK


def test_missing_tasks_are_named_by_what_is_wrong_with_them() -> None:
    missing = {WORKER: REFUSED, OTHER_WORKER: SILENT, PS: REFUSED}
    found = tasks.answer(observed(missing=missing))
    assert [finding.says for finding in found] == [
        "worker 0 (10.0.0.2:2222): connection refused; ps 0 (10.0.0.4:2222): connection refused",
        "worker 1 (10.0.0.3:2222): no answer",
    ]
    assert levels(found) == [Level.RED, Level.RED]
    assert "Run tfps doctor there" in found[0].to_do
    assert "firewall" in found[1].to_do


@pytest.mark.parametrize("kind", list(FailureKind))
def test_every_kind_of_fault_has_something_to_do(kind: FailureKind) -> None:
    fault = Unreached(caller=WORKER, called=PS, failure=CallFailure(kind=kind, detail="so"))
    assert only(tasks.reach(observed(unreached=(fault,)))).level is Level.RED


def test_another_cluster_in_tf_config_is_red_and_evaluators_do_not_count() -> None:
    with_evaluator = facts(PS, cluster={**SPEC.as_dict(), "evaluator": ["10.0.0.8:2222"]})
    fewer = facts(WORKER, cluster={**SPEC.as_dict(), "ps": ["10.0.0.4:2222"]})
    found = only(tasks.config(observed(with_evaluator, fewer)))
    assert found.level is Level.RED
    assert found.says == "cluster.ps of worker 0 is not that of the chief"


def test_a_port_that_is_taken_is_told_once() -> None:
    fault = "python (pid 7) has port 2222"
    job = observed(
        facts(PS, port_fault=fault), missing={PS: CallFailure(kind=FailureKind.PORT, detail=fault)}
    )
    found = only(tasks.ports(job))
    assert found.says == "ps 0 (10.0.0.4:2222): python (pid 7) has port 2222"
    assert only(tasks.answer(job)).level is Level.OK


def test_who_does_not_reach_a_task_is_told_together() -> None:
    unreached = tuple(
        Unreached(caller=caller, called=CHIEF, failure=SILENT) for caller in (WORKER, PS)
    )
    found = only(tasks.reach(observed(unreached=unreached)))
    assert found.says == "from worker 0, ps 0 to chief 0 (10.0.0.1:2222): no answer"


@pytest.mark.parametrize(
    ("offset_s", "error_s", "level"),
    [
        (0.5, 0.0, Level.OK),
        (-1.5, 0.1, Level.WARN),
        (1.5, 0.6, Level.OK),
        (61.0, 0.1, Level.RED),
        (-3600.0, 0.1, Level.RED),
    ],
)
def test_a_clock_is_judged_by_what_is_sure_of_its_offset(
    offset_s: float, error_s: float, level: Level
) -> None:
    clock = ClockOffset(offset_s=offset_s, error_s=error_s)
    job = observed()
    answers = {**job.answers, "ps 0": TaskAnswer(facts=facts(PS), clock=clock)}
    assert only(tasks.clock(observed(answers=answers))).level is level
