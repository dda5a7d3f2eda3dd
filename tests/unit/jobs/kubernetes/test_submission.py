"""All objects of a job are created, or none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.jobs.kubernetes.memory_server import AnswerError, MemoryServer, refused
from tests.unit.jobs.specs import spec
from tfps.errors import LaunchError
from tfps.jobs.kubernetes import plain
from tfps.jobs.kubernetes.submission import submit

JOB = spec()
DOCUMENTS = plain.render(JOB).documents
NAMES = {(item["kind"], item["metadata"]["name"]) for item in DOCUMENTS}


def submitted(server: MemoryServer, *, dry_run: bool = False) -> None:
    submit(server, JOB, DOCUMENTS, dry_run=dry_run)  # type: ignore[arg-type]


def test_all_objects_are_checked_before_the_first_is_made() -> None:
    server = MemoryServer()
    submitted(server)
    verbs = [line.split()[0] for line in server.requests]
    assert verbs == ["get"] * len(NAMES) + ["check"] * len(NAMES) + ["apply"] * len(NAMES)
    assert set(server.objects) == NAMES


def test_a_dry_run_makes_nothing() -> None:
    server = MemoryServer()
    submitted(server, dry_run=True)
    assert server.objects == {}


def test_refusals_are_listed_together() -> None:
    answer = AnswerError(422, json.dumps({"kind": "Status", "message": "no"}))
    failing = {
        ("check", "StatefulSet", f"job-{role}"): [refused("", answer)] for role in ("ps", "worker")
    }
    other = AnswerError(403, json.dumps({"kind": "Status", "message": "forbidden"}))
    server = MemoryServer(errors={**failing, ("check", "Service", "job"): [refused("", other)]})
    with pytest.raises(LaunchError) as error:
        submitted(server)
    assert str(error.value).splitlines() == [
        "The test refuses 3 of the job's 12 objects, so none was made:",
        "  service/job: forbidden. Ask for this right, or use another namespace with -n.",
        "  statefulset.apps/job-worker, statefulset.apps/job-ps: no.",
    ]
    assert server.objects == {}


def test_a_server_that_fails_is_no_refusal() -> None:
    away = refused("not reached", OSError())
    with pytest.raises(LaunchError, match="not reached"):
        submitted(MemoryServer(errors={("check", "Service", "job"): [away]}))


def test_the_role_of_a_role_binding_need_not_be_there_to_check_it() -> None:
    details = {"kind": "Status", "message": "not found", "details": {"kind": "roles"}}
    missing = refused("", AnswerError(404, json.dumps(details)))
    server = MemoryServer(errors={("check", "RoleBinding", "job-ending"): [missing]})
    submitted(server)
    assert set(server.objects) == NAMES


def test_what_was_made_is_removed_when_a_later_object_fails() -> None:
    server = MemoryServer(errors={("apply", "StatefulSet", "job-ps"): [refused("quota")]})
    with pytest.raises(LaunchError, match="quota"):
        submitted(server)
    assert server.objects == {}


def test_what_is_left_of_a_former_job_is_replaced_and_checked_under_other_names() -> None:
    former: Any = {(item["kind"], item["metadata"]["name"]): item for item in DOCUMENTS}
    server = MemoryServer(objects=dict(former))
    submitted(server, dry_run=True)
    assert server.objects == former
    checked = [line for line in server.requests if line.startswith("check")]
    assert "check job.batch/job-chiex" in checked
    assert len(checked) == len(NAMES)
    submitted(server)
    assert set(server.objects) == NAMES
    assert len([line for line in server.requests if line.startswith("delete")]) == len(NAMES)


def test_objects_of_others_are_not_taken() -> None:
    other: Any = {"metadata": {"name": "job", "labels": {"app": "web"}}}
    server = MemoryServer(objects={("Service", "job"): other})
    with pytest.raises(LaunchError, match=r"service/job is already in namespace ns, and not this"):
        submitted(server)
    assert server.objects == {("Service", "job"): other}
