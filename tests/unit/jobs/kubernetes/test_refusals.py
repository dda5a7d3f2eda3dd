"""What an API server's refusals are told as."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.jobs.kubernetes.kept import AnswerError, refused
from tfps.jobs.kubernetes import refusals
from tfps.jobs.kubernetes.api_resources import ALL, JOB, JOB_SET, ApiResource

ROLE = next(one for one in ALL if one.kind == "Role")


def answer(status: int, body: object = None, reason: str = "Reason") -> AnswerError:
    return AnswerError(status, "404 page not found" if body is None else json.dumps(body), reason)


def status(message: str, **details: Any) -> dict[str, Any]:
    return {"kind": "Status", "message": message, "details": details}


@pytest.mark.parametrize(
    ("given", "resource", "told"),
    [
        (
            answer(404),
            JOB_SET,
            "The cluster has no JobSet. Install it from https://jobset.sigs.k8s.io, or use "
            "--target kubernetes, which needs nothing.",
        ),
        (
            answer(404, status('namespaces "x" not found', kind="namespaces", name="x")),
            JOB,
            'namespaces "x" not found. Make the namespace with kubectl create namespace, or use '
            "another with -n.",
        ),
        (
            answer(403, status('jobs.batch is forbidden: User "a" cannot create resource "jobs"')),
            JOB,
            'jobs.batch is forbidden: User "a" cannot create resource "jobs". Ask for this right, '
            "or use another namespace with -n.",
        ),
        (
            answer(403, status("roles is forbidden")),
            ROLE,
            "roles is forbidden. Ask for the right to make Roles and RoleBindings there, or use "
            "--target jobset, which needs none.",
        ),
        (
            answer(401, status("Unauthorized")),
            JOB,
            "Unauthorized. Log in to the cluster again; kubectl auth whoami says who you are.",
        ),
        (answer(422, status('Job "x" is invalid.')), JOB, 'Job "x" is invalid.'),
        (answer(503, reason="Service Unavailable"), JOB, "Service Unavailable."),
        (answer(500, {"no": "status"}, reason=""), JOB, "HTTP status 500."),
    ],
)
def test_a_refusal_says_what_to_do(given: AnswerError, resource: ApiResource, told: str) -> None:
    assert refusals.sentence(given, resource) == told


def test_kinds_of_refusals_are_told_apart() -> None:
    forbidden = refused("", answer(403, status("no")))
    no_role = refused("", answer(404, status('roles "x" not found', kind="roles")))
    broken = refused("", answer(503))
    away = refused("", OSError())
    assert refusals.is_for_lack_of_rights(forbidden)
    assert not refusals.is_for_lack_of_rights(no_role)
    assert refusals.is_for_lack_of_a_role(no_role)
    assert not refusals.is_for_lack_of_a_role(forbidden)
    assert refusals.is_answer(forbidden)
    assert not refusals.is_answer(broken)
    assert not refusals.is_answer(away)
    assert not refusals.is_answer(refused("", None))


def test_every_kind_has_its_path_and_its_name() -> None:
    assert JOB.path("ns", "x") == "/apis/batch/v1/namespaces/ns/jobs/x"
    service = next(one for one in ALL if one.kind == "Service")
    assert service.path("ns") == "/api/v1/namespaces/ns/services"
    assert (JOB.named("x"), service.named("x")) == ("job.batch/x", "service/x")
