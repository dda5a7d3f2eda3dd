"""The end of a job of plain objects, despite errors of the API server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.jobs.kubernetes.memory_server import AnswerError, MemoryServer, refused
from tfps.jobs.kubernetes.ending import end_with_chief

CHIEF = ("Job", "job-chief")
OTHERS = ["scale statefulset.apps/job-worker", "scale statefulset.apps/job-ps"]
EVALUATOR = "delete job.batch/job-evaluator"


def chief(*conditions: str) -> Any:
    return {"status": {"conditions": [{"type": item, "status": "True"} for item in conditions]}}


def end(server: MemoryServer) -> str:
    return end_with_chief(server, "job", poll_s=0.0)  # type: ignore[arg-type]


def after_looking(server: MemoryServer) -> list[str]:
    return [line for line in server.requests if not line.startswith("get")]


def test_others_end_with_a_chief_that_has_succeeded() -> None:
    server = MemoryServer(objects={CHIEF: chief("SuccessCriteriaMet", "Complete")})
    assert end(server) == "succeeded"
    assert after_looking(server) == OTHERS


def test_the_evaluator_ends_too_with_a_chief_that_has_failed() -> None:
    server = MemoryServer(objects={CHIEF: chief("FailureTarget", "Failed")})
    assert end(server) == "failed"
    assert after_looking(server) == [*OTHERS, EVALUATOR]


def test_a_job_without_an_evaluator_gives_no_right_to_delete_one() -> None:
    forbidden = refused("no right", AnswerError(403))
    failing = {("delete", "Job", "job-evaluator"): [forbidden]}
    server = MemoryServer(objects={CHIEF: chief("Failed")}, errors=failing)
    assert end(server) == "failed"


def test_a_chief_that_stays_away_was_deleted() -> None:
    server = MemoryServer()
    assert end(server) == "cancelled"
    assert server.requests[:-3] == ["get job.batch/job-chief"] * 30
    assert after_looking(server) == [*OTHERS, EVALUATOR]


def test_a_server_that_fails_is_asked_again_and_told_of_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing = {
        ("get", *CHIEF): [refused("away"), refused("away"), refused("late")],
        ("scale", "StatefulSet", "job-ps"): [refused("away")],
        ("delete", "Job", "job-evaluator"): [refused("broken", AnswerError(500))],
    }
    server = MemoryServer(objects={CHIEF: chief("Failed")}, errors=failing)
    assert end(server) == "failed"
    assert after_looking(server) == [*OTHERS, *OTHERS, EVALUATOR, *OTHERS, EVALUATOR]
    assert capsys.readouterr().err.splitlines() == [
        "tfps: away",
        "tfps: late",
        "tfps: away",
        "tfps: broken",
    ]
