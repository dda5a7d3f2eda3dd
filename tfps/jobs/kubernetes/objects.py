"""The objects of a job: names, labels, Jobs, and what guards the pods in every form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec

Object = dict[str, Any]

JOB_LABEL = "app.kubernetes.io/instance"
ROLE_LABEL = "app.kubernetes.io/component"

# Losing a node, by a drain or as a spot node, does not count as a failure of the task.
_IGNORE_DISRUPTIONS = {
    "rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    ]
}


def labels(spec: JobSpec, component: str | None = None) -> dict[str, str]:
    """Return the labels of an object; those of a role's objects and pods name the role."""
    own = {
        "app.kubernetes.io/name": "tfps",
        JOB_LABEL: spec.name,
        "app.kubernetes.io/managed-by": "tfps",
    }
    return {**spec.labels, **own, **({ROLE_LABEL: component} if component else {})}


def pod_labels(spec: JobSpec, component: str | None = None) -> dict[str, str]:
    """Return the labels that select the pods of a job, or of one role."""
    return {JOB_LABEL: spec.name, **({ROLE_LABEL: component} if component else {})}


def metadata(spec: JobSpec, name: str, component: str | None = None) -> dict[str, Any]:
    """Return the metadata of an object."""
    namespace = spec.kubernetes.namespace
    return {
        "name": name,
        **({"namespace": namespace} if namespace else {}),
        "labels": labels(spec, component),
    }


def job_of_one_task(role: Role, template: Object, **fields: Any) -> Object:
    """Return the spec of a Job that runs one task and is not indexed."""
    return {
        "backoffLimit": role.restarts,
        "podFailurePolicy": _IGNORE_DISRUPTIONS,
        **fields,
        "template": template,
    }


def job_of_indexed_tasks(role: Role, template: Object, **fields: Any) -> Object:
    """Return the spec of a Job that runs all tasks of a role, each with restarts of its own."""
    return {
        "completionMode": "Indexed",
        "completions": role.replicas,
        "parallelism": role.replicas,
        "backoffLimitPerIndex": role.restarts,
        "maxFailedIndexes": 0,
        "podFailurePolicy": _IGNORE_DISRUPTIONS,
        **fields,
        "template": template,
    }


def guards(spec: JobSpec) -> list[Object]:
    """Return the objects that protect the pods: from other pods, and from drains of nodes."""
    return [_network_policy(spec), *_disruption_budgets(spec)]


def without_empty(mapping: Mapping[str, Any]) -> Object:
    """Return a mapping without the keys whose values are None or empty."""
    return {key: value for key, value in mapping.items() if value not in (None, [], {}, ())}


def _network_policy(spec: JobSpec) -> Object:
    # TensorFlow's servers have no authentication: whoever reaches one can run anything there.
    own_pods = {"matchLabels": pod_labels(spec)}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(spec, spec.name),
        "spec": {
            "podSelector": own_pods,
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": own_pods}]}],
        },
    }


def _disruption_budgets(spec: JobSpec) -> Iterator[Object]:
    for task_type, role in spec.roles:
        if task_type == "evaluator":  # After a restart, it goes on with the next checkpoint.
            continue
        yield {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata(spec, f"{spec.name}-{task_type}", task_type),
            "spec": {
                "minAvailable": role.minimum_replicas or role.replicas,
                "selector": {"matchLabels": pod_labels(spec, task_type)},
            },
        }
