"""A batch/v1 Job of tasks that end by themselves."""

from __future__ import annotations

from typing import Any

from tfps.jobs.kubernetes.shared import Object
from tfps.jobs.role import Role

# A lost node, a drain, a spot node that was taken back: the task has not failed.
_DISRUPTIONS_ARE_NO_FAILURES = {
    "rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    ]
}


def one_task(role: Role, template: Object, **more: Any) -> Object:
    """Return the spec of a Job of one task that is not indexed."""
    return {
        "backoffLimit": role.restarts,
        "podFailurePolicy": _DISRUPTIONS_ARE_NO_FAILURES,
        **more,
        "template": template,
    }


def indexed_tasks(role: Role, template: Object, **more: Any) -> Object:
    """Return the spec of a Job whose pods keep their index; each has restarts of its own."""
    return {
        "completionMode": "Indexed",
        "completions": role.replicas,
        "parallelism": role.replicas,
        "backoffLimitPerIndex": role.restarts,
        "maxFailedIndexes": 0,
        "podFailurePolicy": _DISRUPTIONS_ARE_NO_FAILURES,
        **more,
        "template": template,
    }
