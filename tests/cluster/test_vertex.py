"""The launcher for Vertex AI against a simulated API on loopback."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
import requests
from google.cloud import aiplatform_v1 as v1

from tests.cluster.vertex_api import JobService, Logging, logging_at, serving
from tests.unit.jobs.specs import spec
from tfps.cluster.spec import Task
from tfps.errors import JobSpecError, LaunchError
from tfps.jobs.platforms import Hyperparameter, Tuning, Vertex
from tfps.jobs.role import Role
from tfps.jobs.vertex.launcher import VertexLauncher
from tfps.jobs.vertex.logs import CloudLogging

PARENT = "projects/my-project/locations/europe-west4"
VERTEX = Vertex(project="my-project", location="europe-west4")
JOB = spec(vertex=VERTEX)
SEARCH = spec(
    vertex=VERTEX,
    tuning=Tuning(
        metric="val_loss",
        trials=4,
        parameters={"learning_rate": Hyperparameter(minimum=0.001, maximum=0.1)},
    ),
)
CHIEF = Task(type="chief", index=0)


@dataclasses.dataclass
class Cloud:
    """What a launcher talks to, and which regions it asked for."""

    service: JobService
    logging: Logging
    launcher: VertexLauncher
    regions: list[str]

    def set(self, name: str, state: str, **fields: Any) -> None:
        job = self.service.jobs[name]
        job.state = v1.JobState[f"JOB_STATE_{state}"]
        for field, value in fields.items():
            setattr(job, field, value)


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    service, logging, regions = JobService(), Logging(), list[str]()
    with serving(service) as client, logging_at(logging) as url:

        def client_of(region: str) -> v1.JobServiceClient:
            regions.append(region)
            return client

        launcher = VertexLauncher(
            client=client_of, logging=CloudLogging(session=requests.Session, url=url, poll_s=0.01)
        )
        yield Cloud(service, logging, launcher, regions)


def test_a_job_is_created_as_it_is_rendered(cloud: Cloud) -> None:
    name = cloud.launcher.submit(JOB, dry_run=False)
    assert name == f"{PARENT}/customJobs/0"
    job = cloud.service.jobs[name]
    assert job.display_name == "job"
    assert [pool.replica_count for pool in job.job_spec.worker_pool_specs] == [1, 1, 1]
    assert set(cloud.regions) == {"europe-west4"}


def test_a_search_is_created_as_it_is_rendered(cloud: Cloud) -> None:
    name = cloud.launcher.submit(SEARCH, dry_run=False)
    assert name == f"{PARENT}/hyperparameterTuningJobs/0"
    job = cloud.service.jobs[name]
    assert job.max_trial_count == 4
    assert job.study_spec.parameters[0].double_value_spec.max_value == 0.1


def test_a_dry_run_asks_nobody(cloud: Cloud) -> None:
    assert cloud.launcher.submit(spec(), dry_run=True) == "job"
    assert cloud.regions == []
    assert cloud.service.jobs == {}


def test_a_dry_run_finds_what_vertex_ai_cannot_run(cloud: Cloud) -> None:
    with pytest.raises(JobSpecError, match=r"roles\.worker\.gpus"):
        cloud.launcher.submit(spec({"worker": Role(gpus=3, gpu_type="nvidia-l4")}), dry_run=True)


@pytest.mark.parametrize(
    ("state", "expected", "is_over"),
    [
        ("QUEUED", "pending", False),
        ("PENDING", "pending", False),
        ("RUNNING", "running", False),
        ("CANCELLING", "running", False),
        ("SUCCEEDED", "succeeded", True),
        ("FAILED", "failed", True),
        ("EXPIRED", "failed", True),
        ("CANCELLED", "cancelled", True),
        ("UNSPECIFIED", "unknown", False),
    ],
)
def test_a_job_is_as_vertex_ai_says(cloud: Cloud, state: str, expected: str, is_over: bool) -> None:
    name = cloud.launcher.submit(JOB, dry_run=False)
    cloud.set(name, state)
    status = cloud.launcher.status(JOB)
    assert (status.name, status.state, status.is_over) == (name, expected, is_over)


def test_what_a_job_failed_of_is_told(cloud: Cloud) -> None:
    name = cloud.launcher.submit(JOB, dry_run=False)
    cloud.set(name, "FAILED", error={"code": 13, "message": "The replica workerpool0-0 exited."})
    assert cloud.launcher.status(JOB).message == "The replica workerpool0-0 exited."


def test_the_newest_job_of_a_name_counts(cloud: Cloud) -> None:
    for state in ("FAILED", "CANCELLED", "SUCCEEDED"):
        cloud.set(cloud.launcher.submit(JOB, dry_run=False), state)
    cloud.launcher.submit(dataclasses.replace(JOB, name="other"), dry_run=False)
    status = cloud.launcher.status(JOB)
    assert (status.name, status.state) == (f"{PARENT}/customJobs/2", "succeeded")


def test_a_second_job_of_a_name_waits_for_the_first(cloud: Cloud) -> None:
    name = cloud.launcher.submit(JOB, dry_run=False)
    with pytest.raises(LaunchError, match=f"A job 'job' is pending already: {name}. Cancel it"):
        cloud.launcher.submit(JOB, dry_run=False)
    cloud.set(name, "SUCCEEDED")
    assert cloud.launcher.submit(JOB, dry_run=False) == f"{PARENT}/customJobs/1"


def test_how_far_a_search_is_is_told(cloud: Cloud) -> None:
    name = cloud.launcher.submit(SEARCH, dry_run=False)
    assert cloud.launcher.status(SEARCH).message == "0 of 4 trials have ended"
    cloud.set(
        name,
        "RUNNING",
        trials=[
            trial(1, 2.5, 0.1),
            trial(2, 1.75, 0.01),
            {"id": "3", "state": "INFEASIBLE"},
            {"id": "4", "state": "ACTIVE"},
        ],
    )
    assert cloud.launcher.status(SEARCH).message == (
        "3 of 4 trials have ended; best val_loss 1.75 in trial 2 (learning_rate=0.01)"
    )


def trial(number: int, loss: float, learning_rate: float) -> dict[str, Any]:
    return {
        "id": str(number),
        "state": "SUCCEEDED",
        "custom_job": f"{PARENT}/customJobs/10{number}",
        "final_measurement": {"metrics": [{"metric_id": "val_loss", "value": loss}]},
        "parameters": [{"parameter_id": "learning_rate", "value": learning_rate}],
    }


def test_a_job_is_cancelled_once(cloud: Cloud) -> None:
    name = cloud.launcher.submit(JOB, dry_run=False)
    assert cloud.launcher.cancel(JOB) == f"Vertex AI cancels {name}."
    assert cloud.service.jobs[name].state == v1.JobState.JOB_STATE_CANCELLING
    cloud.set(name, "CANCELLED")
    assert cloud.launcher.cancel(JOB) == f"{name} is over already: cancelled."


def test_a_search_is_cancelled(cloud: Cloud) -> None:
    name = cloud.launcher.submit(SEARCH, dry_run=False)
    cloud.launcher.cancel(SEARCH)
    assert cloud.service.jobs[name].state == v1.JobState.JOB_STATE_CANCELLING


def test_lines_of_a_task_come_in_order(cloud: Cloud) -> None:
    cloud.launcher.submit(JOB, dry_run=False)
    for second, text in enumerate(["one", "two\nthree", "", "four"]):
        cloud.logging.add("0", "workerpool1-0", text, second)
    cloud.logging.add("0", "workerpool1-0", None, 9, levelname="INFO")
    cloud.logging.add("0", "workerpool0-0", "of the chief", 9)
    cloud.logging.add("1", "workerpool1-0", "of another job", 9)
    worker = Task(type="worker", index=0)
    assert list(cloud.launcher.logs(JOB, worker, follow=False)) == [
        "one",
        "two",
        "three",
        "",
        "four",
        '{"levelname": "INFO"}',
    ]


@pytest.mark.parametrize(
    ("task_type", "name"),
    [
        ("chief", "workerpool0-1"),
        ("worker", "workerpool1-1"),
        ("ps", "workerpool2-1"),
        ("evaluator", "workerpool3-1"),
    ],
)
def test_a_task_is_known_by_its_pool(cloud: Cloud, task_type: str, name: str) -> None:
    cloud.launcher.submit(JOB, dry_run=False)
    cloud.logging.add("0", name, "here")
    assert list(cloud.launcher.logs(JOB, Task(type=task_type, index=1), follow=False)) == ["here"]


def test_lines_are_followed_until_the_job_is_over(cloud: Cloud) -> None:
    name = cloud.launcher.submit(JOB, dry_run=False)
    cloud.set(name, "RUNNING")
    cloud.logging.add("0", "workerpool0-0", "first", 1)
    lines = cloud.launcher.logs(JOB, CHIEF, follow=True)
    assert next(lines) == "first"
    # Of the same time as one that is known already.
    cloud.logging.add("0", "workerpool0-0", "second", 1)
    assert next(lines) == "second"
    cloud.logging.add("0", "workerpool0-0", "last", 2)
    cloud.set(name, "SUCCEEDED")
    assert list(lines) == ["last"]


def test_lines_of_a_search_say_of_which_trial_they_are(cloud: Cloud) -> None:
    name = cloud.launcher.submit(SEARCH, dry_run=False)
    assert list(cloud.launcher.logs(SEARCH, CHIEF, follow=False)) == []
    cloud.set(name, "RUNNING", trials=[trial(1, 2.5, 0.1), trial(2, 1.75, 0.01)])
    cloud.logging.add("101", "workerpool0-0", "hello", 1)
    cloud.logging.add("102", "workerpool0-0", "hello", 2)
    lines = list(cloud.launcher.logs(SEARCH, CHIEF, follow=False))
    assert lines == ["trial 1: hello", "trial 2: hello"]


def test_a_refusal_of_the_logs_names_the_command_for_them(cloud: Cloud) -> None:
    cloud.launcher.submit(JOB, dry_run=False)
    cloud.logging.refusal = 403
    with pytest.raises(LaunchError) as caught:
        list(cloud.launcher.logs(JOB, CHIEF, follow=False))
    assert str(caught.value) == (
        "Cloud Logging answers 403 Forbidden: no rights You may need the role Logs Viewer. The "
        "same lines: gcloud ai custom-jobs stream-logs 0 --task-name=workerpool0-0"
    )


@pytest.mark.parametrize("verb", ["status", "cancel", "logs"])
def test_a_job_that_is_not_there_is_told(cloud: Cloud, verb: str) -> None:
    with pytest.raises(LaunchError, match=rf"Vertex AI has no job 'job' in {PARENT}. Submit it"):
        call(cloud.launcher, verb)


@pytest.mark.parametrize("verb", ["submit", "status", "cancel", "logs"])
def test_a_refusal_of_the_api_is_told(cloud: Cloud, verb: str) -> None:
    cloud.service.refusal = (grpc.StatusCode.PERMISSION_DENIED, "Permission denied on location.")
    with pytest.raises(LaunchError, match=r"Google Cloud answers: 403 Permission denied on"):
        call(cloud.launcher, verb)


def call(launcher: VertexLauncher, verb: str) -> object:
    if verb == "submit":
        return launcher.submit(JOB, dry_run=False)
    if verb == "logs":
        return list(launcher.logs(JOB, CHIEF, follow=False))
    return getattr(launcher, verb)(JOB)


def test_a_job_without_a_region_is_told(cloud: Cloud) -> None:
    with pytest.raises(LaunchError, match=r"The job has no region\. Give vertex\.location"):
        cloud.launcher.status(spec(vertex=Vertex(project="my-project")))


def test_missing_credentials_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    with pytest.raises(LaunchError, match="Run gcloud auth application-default login"):
        VertexLauncher().status(JOB)


def test_a_missing_client_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.cloud.aiplatform_v1", None)
    with pytest.raises(LaunchError, match=r"Run pip install 'tfps\[vertex\]'\."):
        VertexLauncher().submit(JOB, dry_run=True)
