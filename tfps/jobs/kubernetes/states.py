"""What the objects of a job say of it: pure functions from what an API server returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfps.cluster.spec import Task
from tfps.jobs.kubernetes.shared import ROLE_LABEL
from tfps.jobs.launching import State, TaskStatus

Object = Mapping[str, Any]

_CONTAINER = "tensorflow"
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


def end_of(job: Object) -> tuple[State | None, str]:
    """Return in which state a Job, JobSet or TFJob has ended, and why; None while it has not."""
    for condition in _conditions(job):
        if condition["type"] in _ENDS and condition["status"] == "True":
            state = _ENDS[condition["type"]]
            return state, _reason(condition) if state == "failed" else ""
    return None, ""


def waiting_reason(job: Object) -> str:
    """Return why a Job, JobSet or TFJob that has not ended does not run; empty when it does."""
    if "status" not in job:
        return "its controller has not taken it up yet"
    for condition in _conditions(job):
        if condition["type"] == "Suspended" and condition["status"] == "True":
            return "suspended"
    return ""


def task_of(pod: Object) -> tuple[str, int]:
    """Return the type and the index of the task that a pod is."""
    labels = pod["metadata"].get("labels") or {}
    index = next((labels[name] for name in _INDEX_LABELS if name in labels), "0")
    return labels.get(ROLE_LABEL, ""), int(index)


def pods_of(task: Task, pods: Sequence[Object]) -> list[Object]:
    """Return the pods that were ever this task, as far as they are still there; the last is it."""
    found = [pod for pod in pods if task_of(pod) == (task.type, task.index)]
    return sorted(found, key=_age)


def task_status(task: Task, pods: Sequence[Object]) -> TaskStatus | None:
    """Return how a task is; None when it has no pod."""
    own = pods_of(task, pods)
    if not own:
        return None
    pod = own[-1]
    return TaskStatus(
        task=task,
        state=_state(pod),
        restarts=len(own) - 1 + sum(one.get("restartCount", 0) for one in _containers(pod)),
        place=pod["spec"].get("nodeName", ""),
        message=message_of(pod),
    )


def has_ended(pod: Object) -> bool:
    """Return whether none of a pod's containers will be started again."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def has_succeeded(pod: Object) -> bool:
    """Return whether all of a pod's containers have ended well, for good."""
    return bool(pod.get("status", {}).get("phase") == "Succeeded")


def has_output(pod: Object) -> bool:
    """Return whether a container of a pod has ever started."""
    return any(
        "waiting" not in one.get("state", {}) or one.get("lastState") for one in _containers(pod)
    )


def start_of(pod: Object) -> tuple[str, int]:
    """Return which start of which pod its container is in, or was in last."""
    return pod["metadata"]["uid"], sum(one.get("restartCount", 0) for one in _containers(pod))


def container_of(pod: Object) -> str:
    """Return the container of a pod that is the task; others may have been put beside it."""
    names = [container["name"] for container in pod["spec"]["containers"]]
    return _CONTAINER if _CONTAINER in names else str(names[0])


def _age(pod: Object) -> tuple[str, bool]:
    # Of two of the same second, the one that still runs is the later.
    return pod["metadata"]["creationTimestamp"], not has_ended(pod)


def _state(pod: Object) -> State:
    if any(_is_crashing(container) for container in _containers(pod)):
        return "pending"
    return _PHASES.get(pod.get("status", {}).get("phase", "Pending"), "unknown")


def _is_crashing(container: Object) -> bool:
    return bool("waiting" in container.get("state", {}) and container.get("lastState"))


def message_of(pod: Object) -> str:
    """Say why a pod waits, or how it has ended; empty when it runs, or all went well."""
    told = [_container_message(container) for container in _containers(pod)]
    status = pod.get("status", {})
    if status.get("reason"):
        told.append(_reason(status))
    if not status.get("containerStatuses"):
        told += [
            _reason(condition)
            for condition in _conditions(pod)
            if condition["type"] == "PodScheduled" and condition["status"] == "False"
        ]
    if "deletionTimestamp" in pod["metadata"] and not has_ended(pod):
        told.append("ending")
    return "; ".join(filter(None, told))


def _container_message(container: Object) -> str:
    state = container.get("state", {})
    if "waiting" in state:
        last = (container.get("lastState") or {}).get("terminated")
        after = f" (its last exit code was {last['exitCode']})" if last else ""
        return f"{_reason(state['waiting'])}{after}"
    ended = state.get("terminated")
    if ended is None or ended["exitCode"] == 0:
        return ""
    reason = ended.get("reason", "Error")
    return f"exit code {ended['exitCode']}{f' ({reason})' if reason != 'Error' else ''}"


def _reason(condition: Object) -> str:
    reason, message = condition.get("reason", ""), condition.get("message", "")
    return ": ".join(filter(None, (reason, message)))


def _conditions(obj: Object) -> Sequence[Object]:
    return obj.get("status", {}).get("conditions") or ()


def _containers(pod: Object) -> Sequence[Object]:
    return pod.get("status", {}).get("containerStatuses") or ()
