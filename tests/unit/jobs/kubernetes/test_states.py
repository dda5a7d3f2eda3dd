"""The states of jobs and tasks from objects as an API server returns them."""

from __future__ import annotations

from typing import Any

import pytest

from tfps.cluster.spec import Task
from tfps.jobs.kubernetes import states
from tfps.jobs.targets import State, TaskStatus

Object = dict[str, Any]
WORKER = Task(type="worker", index=1)


def pod(
    phase: str = "Running",
    *,
    name: str = "job-worker-1",
    state: Object | None = None,
    created: str = "2026-01-01T00:00:00Z",
    index: str = "1",
    **container: Any,
) -> Object:
    containers = [] if state is None else [{"name": "tensorflow", "state": state, **container}]
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "creationTimestamp": created,
            "labels": {
                "app.kubernetes.io/component": "worker",
                "apps.kubernetes.io/pod-index": index,
            },
        },
        "spec": {"nodeName": "node-7", "containers": [{"name": "tensorflow"}]},
        "status": {"phase": phase, "containerStatuses": containers},
    }


def job(*conditions: tuple[str, str, str, str]) -> Object:
    names = ("type", "status", "reason", "message")
    return {"status": {"conditions": [dict(zip(names, item, strict=True)) for item in conditions]}}


@pytest.mark.parametrize(
    ("conditions", "end"),
    [
        ((), (None, "")),
        ((("Suspended", "True", "JobSuspended", ""),), (None, "")),
        ((("FailureTarget", "True", "BackoffLimitExceeded", "too often"),), (None, "")),
        ((("SuccessCriteriaMet", "True", "", ""),), (None, "")),
        ((("Complete", "True", "CompletionsReached", "all"),), ("succeeded", "")),
        ((("Completed", "True", "AllJobsCompleted", "all"),), ("succeeded", "")),
        ((("Running", "False", "", ""), ("Succeeded", "True", "x", "y")), ("succeeded", "")),
        (
            (
                ("FailureTarget", "True", "DeadlineExceeded", "too long"),
                ("Failed", "True", "DeadlineExceeded", "too long"),
            ),
            ("failed", "DeadlineExceeded: too long"),
        ),
        ((("Failed", "False", "", ""),), (None, "")),
    ],
)
def test_the_end_of_a_job_is_in_its_conditions(
    conditions: tuple[tuple[str, str, str, str], ...], end: tuple[State | None, str]
) -> None:
    assert states.end_of(job(*conditions)) == end


def test_a_suspended_job_waits() -> None:
    assert states.waiting_reason(job(("Suspended", "True", "", ""))) == "suspended"
    assert states.waiting_reason(job(("Suspended", "False", "", ""))) == ""
    assert states.waiting_reason({}) == "its controller has not taken it up yet"


RUNNING = {"running": {"startedAt": "2026-01-01T00:00:01Z"}}
EXITED = {"terminated": {"exitCode": 3, "reason": "Error"}}
KILLED = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
CRASHING = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
PULLING = {"waiting": {"reason": "ImagePullBackOff", "message": 'pulling "no"'}}


@pytest.mark.parametrize(
    ("given", "state", "restarts", "message"),
    [
        (pod("Pending"), "pending", 0, ""),
        (pod(state=RUNNING, restartCount=2), "running", 2, ""),
        (pod("Succeeded", state={"terminated": {"exitCode": 0}}), "succeeded", 0, ""),
        (pod("Failed", state=EXITED), "failed", 0, "exit code 3"),
        (pod("Failed", state=KILLED), "failed", 0, "exit code 137 (OOMKilled)"),
        (
            pod(state=CRASHING, restartCount=4, lastState=EXITED),
            "pending",
            4,
            "CrashLoopBackOff: back-off (its last exit code was 3)",
        ),
        (pod("Pending", state=PULLING), "pending", 0, 'ImagePullBackOff: pulling "no"'),
        (pod("Unknown"), "unknown", 0, ""),
    ],
)
def test_a_task_is_as_its_pod_is(given: Object, state: State, restarts: int, message: str) -> None:
    assert states.task_status(WORKER, [given, pod(index="0")]) == TaskStatus(
        task=WORKER, state=state, restarts=restarts, place="node-7", message=message
    )


def test_why_a_pod_is_on_no_node_and_why_it_was_evicted_is_told() -> None:
    waiting = pod("Pending")
    waiting["spec"].pop("nodeName")
    waiting["status"]["conditions"] = [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/3 nodes are available.",
        }
    ]
    result = states.task_status(WORKER, [waiting])
    assert result is not None
    assert (result.place, result.message) == ("", "Unschedulable: 0/3 nodes are available.")
    evicted = pod("Failed")
    evicted["status"] |= {"reason": "Evicted", "message": "low on memory"}
    assert states.message_of(evicted) == "Evicted: low on memory"
    going = pod(state=RUNNING)
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert states.message_of(going) == "ending"


def test_of_several_pods_the_last_is_the_task_and_the_others_are_restarts() -> None:
    first = pod("Failed", name="a", state=EXITED)
    second = pod(name="b", state=RUNNING)
    third = pod("Pending", name="c", created="2026-01-01T00:00:09Z")
    assert states.pods_of(WORKER, [third, second, first]) == [first, second, third]
    result = states.task_status(WORKER, [third, first, second])
    assert result is not None
    assert (result.state, result.restarts) == ("pending", 2)
    assert states.task_status(Task(type="ps", index=0), [first]) is None


@pytest.mark.parametrize(
    "label", ["batch.kubernetes.io/job-completion-index", "training.kubeflow.org/replica-index"]
)
def test_a_pod_of_any_form_tells_its_task(label: str) -> None:
    labels = {"app.kubernetes.io/component": "ps", label: "3"}
    assert states.task_of({"metadata": {"labels": labels}}) == ("ps", 3)
    chief = {"metadata": {"labels": {"app.kubernetes.io/component": "chief"}}}
    assert states.task_of(chief) == ("chief", 0)


@pytest.mark.parametrize(
    ("given", "has_output"),
    [
        (pod("Pending"), False),
        (pod("Pending", state=PULLING, lastState={}), False),
        (pod(state=RUNNING), True),
        (pod(state=CRASHING, lastState=EXITED), True),
        (pod("Failed", state=EXITED), True),
    ],
)
def test_a_pod_whose_container_has_started_has_output(given: Object, has_output: bool) -> None:
    assert states.has_output(given) is has_output


def test_the_container_of_the_task_is_found_among_others() -> None:
    containers = [{"name": "proxy"}, {"name": "tensorflow"}]
    assert states.container_of({"spec": {"containers": containers}}) == "tensorflow"
    assert states.container_of({"spec": {"containers": containers[:1]}}) == "proxy"
