"""Names and labels of a job's objects, and the objects that guard its pods in every form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tfps.errors import Fault
from tfps.jobs import checks
from tfps.jobs.kubernetes.clouds import CLOUDS, Cloud
from tfps.jobs.spec import JobSpec

Object = dict[str, Any]

JOB_LABEL = "app.kubernetes.io/instance"
ROLE_LABEL = "app.kubernetes.io/component"


def cloud_of(spec: JobSpec) -> Cloud:
    """Return the labels of the nodes that the job's cluster has."""
    return CLOUDS[spec.kubernetes.cloud]


def labels(spec: JobSpec, component: str | None = None) -> dict[str, str]:
    """Return the labels of an object of the job; those of a role's pods name the role."""
    own = {
        "app.kubernetes.io/name": "tfps",
        JOB_LABEL: spec.name,
        "app.kubernetes.io/managed-by": "tfps",
    }
    return {**spec.labels, **own, **({ROLE_LABEL: component} if component else {})}


def selector(spec: JobSpec, component: str | None = None) -> dict[str, str]:
    """Return the labels by which the job's pods are found, or those of one role."""
    return {JOB_LABEL: spec.name, **({ROLE_LABEL: component} if component else {})}


def metadata(spec: JobSpec, name: str, component: str | None = None) -> dict[str, Any]:
    """Return the metadata of an object of the job."""
    namespace = spec.kubernetes.namespace
    return {
        "name": name,
        **({"namespace": namespace} if namespace else {}),
        "labels": labels(spec, component),
    }


def guards(spec: JobSpec) -> list[Object]:
    """Return what keeps strangers away from the job's pods, and drains of nodes from its tasks."""
    return [_network_policy(spec), *_disruption_budgets(spec)]


def check(spec: JobSpec) -> None:
    """Check what every form of the job needs on Kubernetes.

    Raises:
        JobSpecError: It cannot run there as the spec has it.
    """
    checks.check(_faults(spec))


def left_out(spec: JobSpec) -> tuple[Fault, ...]:
    """Return what of a spec has no counterpart in any form."""
    return tuple(_left_out(spec))


def _network_policy(spec: JobSpec) -> Object:
    # TensorFlow's servers have no authentication: who reaches one can run what he likes there.
    own_pods = {"matchLabels": selector(spec)}
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
        if task_type == "evaluator":  # It goes on from where it was, wherever it is started again.
            continue
        yield {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata(spec, f"{spec.name}-{task_type}", task_type),
            "spec": {
                "minAvailable": role.minimum_replicas or role.replicas,
                "selector": {"matchLabels": selector(spec, task_type)},
            },
        }


def _faults(spec: JobSpec) -> Iterator[Fault]:
    bare = [task_type for task_type, role in spec.roles if spec.image_of(role) is None]
    if bare:
        yield Fault(
            ("image",),
            f"there is none for {', '.join(bare)}. Give one for all roles, e.g. image: tfps:0.1.0.",
        )
    for name, volume in spec.volumes.items():
        if volume.gcs_bucket is not None and not cloud_of(spec).mounts_buckets:
            yield Fault(
                ("volumes", name, "gcs_bucket"),
                f"kubernetes.cloud {spec.kubernetes.cloud!r} has no driver that mounts buckets. "
                "Use a claim or nfs, or cloud: gke.",
            )


def _left_out(spec: JobSpec) -> Iterator[Fault]:
    for task_type, role in spec.roles:
        if role.hosts:
            yield Fault(("roles", task_type, "hosts"), "Kubernetes places the tasks itself.")
        if role.spot and not cloud_of(spec).spot:
            yield Fault(
                ("roles", task_type, "spot"),
                "kubernetes.cloud 'none' has no label of spot nodes, so tasks run on any node. "
                "Choose nodes with node_selector and tolerations.",
            )
    if spec.tuning is not None:
        yield Fault(("tuning",), "Kubernetes runs the job once, without a search.")


def without_empty(mapping: Mapping[str, Any]) -> Object:
    """Leave out the keys of a mapping whose values are None or empty."""
    return {key: value for key, value in mapping.items() if value not in (None, [], {}, ())}
