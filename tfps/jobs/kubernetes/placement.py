"""Onto which nodes the pod of a task goes."""

from __future__ import annotations

import dataclasses

from tfps.jobs.kubernetes.shared import Object, cloud_of, selector, without_empty
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec

GPU = "nvidia.com/gpu"
_MACHINE_TYPE = "node.kubernetes.io/instance-type"


def placement(spec: JobSpec, task_type: str, role: Role) -> Object:
    """Return the fields of a pod that choose its node; those of no use are None or empty."""
    cloud = cloud_of(spec)
    spot_elsewhere = not role.spot and any(other.spot for _, other in spec.roles)
    return {
        "nodeSelector": _node_labels(spec, role),
        "affinity": cloud.no_spot_affinity() if spot_elsewhere else None,
        "tolerations": _tolerations(spec, role),
        "topologySpreadConstraints": _spread(spec) if task_type == "ps" else None,
    }


def _node_labels(spec: JobSpec, role: Role) -> dict[str, str]:
    cloud = cloud_of(spec)
    return {
        **role.node_selector,
        **({cloud.gpu_type: role.gpu_type} if role.gpu_type is not None else {}),
        **({_MACHINE_TYPE: role.machine_type} if role.machine_type is not None else {}),
        **(cloud.spot_selector() if role.spot else {}),
    }


def _tolerations(spec: JobSpec, role: Role) -> list[Object]:
    return [
        *(without_empty(dataclasses.asdict(toleration)) for toleration in role.tolerations),
        *([{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}] if role.gpus else []),
        *(cloud_of(spec).spot_tolerations() if role.spot else []),
    ]


def _spread(spec: JobSpec) -> list[Object]:
    # Two ps on one node would share its link.
    return [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector(spec, "ps")},
        }
    ]
