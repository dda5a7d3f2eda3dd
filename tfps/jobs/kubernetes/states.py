"""The states of a job and its tasks, as pure functions of the objects on an API server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfps.cluster.spec import Task
from tfps.jobs.kubernetes.objects import ROLE_LABEL
from tfps.jobs.kubernetes.pods import CONTAINER
from tfps.jobs.targets import State, TaskStatus

ReadObject = Mapping[str, Any]

_INDEX_LABELS = (
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/job-completion-index",
    "training.kubeflow.org/replica-index",
)
_PHASES: Mapping[str, State] = {
    "Pending": "pending",
    "Running": "running",
    "Succeeded": "succeeded",
    "Failed": "failed",
}
_ENDS: Mapping[str, State] = {
    "Complete": "succeeded",  # A Job's.
    "Completed": "succeeded",  # A JobSet's.
    "Succeeded": "succeeded",  # A TFJob's.
    "Failed": "failed",
}


def end_of(job: ReadObject) -> tuple[State | None, str]:
    """Return the final state of a Job, JobSet or TFJob, and why; None while it has not ended."""
    for condition in _conditions(job):
        if condition["type"] in _ENDS and condition["status"] == "True":
            state = _ENDS[condition["type"]]
            return state, _reason(condition) if state == "failed" else ""
    return None, ""


def waiting_reason(job: ReadObject) -> str:
    """Return why a Job, JobSet or TFJob that has not ended does not run; empty if it runs."""
    if "status" not in job:
        return "its controller has not taken it up yet"
    for condition in _conditions(job):
        if condition["type"] == "Suspended" and condition["status"] == "True":
            return "suspended"
    return ""


def task_of(pod: ReadObject) -> tuple[str, int]:
    """Return the type and index of the task that a pod runs."""
    labels = pod["metadata"].get("labels") or {}
    index = next((labels[name] for name in _INDEX_LABELS if name in labels), "0")
    return labels.get(ROLE_LABEL, ""), int(index)


def pods_of(task: Task, pods: Sequence[ReadObject]) -> list[ReadObject]:
    """Return the existing pods that have run a task, the current one last."""
    own = [pod for pod in pods if task_of(pod) == (task.type, task.index)]
    return sorted(own, key=_age)


def task_status(task: Task, pods: Sequence[ReadObject]) -> TaskStatus | None:
    """Return the status of a task; None if it has no pod."""
    own = pods_of(task, pods)
    if not own:
        return None
    pod = own[-1]
    return TaskStatus(
        task=task,
        state=_state(pod),
        restarts=len(own) - 1 + _restart_count(pod),
        place=pod["spec"].get("nodeName", ""),
        message=message_of(pod),
    )


def has_ended(pod: ReadObject) -> bool:
    """Return whether all containers of a pod have ended for good."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def has_succeeded(pod: ReadObject) -> bool:
    """Return whether all containers of a pod have succeeded."""
    return bool(pod.get("status", {}).get("phase") == "Succeeded")


def has_output(pod: ReadObject) -> bool:
    """Return whether a container of a pod has ever started."""
    return any(
        "waiting" not in container.get("state", {}) or container.get("lastState")
        for container in _containers(pod)
    )


def start_of(pod: ReadObject) -> tuple[str, int]:
    """Return an identifier of the latest start of a pod's container: the pod and a number."""
    return pod["metadata"]["uid"], _restart_count(pod)


def container_of(pod: ReadObject) -> str:
    """Return the container that runs the task; a cluster may inject others into a pod."""
    names = [container["name"] for container in pod["spec"]["containers"]]
    return CONTAINER if CONTAINER in names else str(names[0])


def _age(pod: ReadObject) -> tuple[str, bool]:
    # Of two pods of the same second, the one that still runs is the later one.
    return pod["metadata"]["creationTimestamp"], not has_ended(pod)


def _state(pod: ReadObject) -> State:
    if any(_is_crashing(container) for container in _containers(pod)):
        return "pending"
    return _PHASES.get(pod.get("status", {}).get("phase", "Pending"), "unknown")


def _is_crashing(container: ReadObject) -> bool:
    return bool("waiting" in container.get("state", {}) and container.get("lastState"))


def message_of(pod: ReadObject) -> str:
    """Return why a pod waits or has failed; empty if it runs or has succeeded."""
    messages = [_container_message(container) for container in _containers(pod)]
    status = pod.get("status", {})
    if status.get("reason"):
        messages.append(_reason(status))
    if not status.get("containerStatuses"):
        messages += [
            _reason(condition)
            for condition in _conditions(pod)
            if condition["type"] == "PodScheduled" and condition["status"] == "False"
        ]
    if "deletionTimestamp" in pod["metadata"] and not has_ended(pod):
        messages.append("ending")
    return "; ".join(filter(None, messages))


def _container_message(container: ReadObject) -> str:
    state = container.get("state", {})
    if "waiting" in state:
        last = (container.get("lastState") or {}).get("terminated")
        last_code = f" (its last exit code was {last['exitCode']})" if last else ""
        return f"{_reason(state['waiting'])}{last_code}"
    terminated = state.get("terminated")
    if terminated is None or terminated["exitCode"] == 0:
        return ""
    reason = terminated.get("reason", "Error")
    return f"exit code {terminated['exitCode']}{f' ({reason})' if reason != 'Error' else ''}"


def _reason(condition: ReadObject) -> str:
    reason, message = condition.get("reason", ""), condition.get("message", "")
    return ": ".join(filter(None, (reason, message)))


def _conditions(obj: ReadObject) -> Sequence[ReadObject]:
    return obj.get("status", {}).get("conditions") or ()


def _containers(pod: ReadObject) -> Sequence[ReadObject]:
    return pod.get("status", {}).get("containerStatuses") or ()


def _restart_count(pod: ReadObject) -> int:
    return sum(container.get("restartCount", 0) for container in _containers(pod))
