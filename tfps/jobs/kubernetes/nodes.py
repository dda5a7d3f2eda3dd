"""On which nodes a pod can run, by the labels and taints that clouds give to nodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfps.jobs.kubernetes.objects import Object, pod_labels, without_empty
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec

GPU = "nvidia.com/gpu"

_MACHINE_TYPE = "node.kubernetes.io/instance-type"
# NVIDIA's GPU feature discovery, which runs with its device plugin, sets this label.
_DISCOVERED_GPU = "nvidia.com/gpu.product"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cloud:
    """The labels of a cloud's nodes.

    Attributes:
        gpu_type: Key of the label whose value is the type of a node's GPUs.
        spot: Key and value of the label of spot nodes; None if they have no such label.
        spot_taint: Whether spot nodes can have a taint with the same key and value.
        mounts_buckets: Whether the cloud has a driver that mounts Cloud Storage buckets.
    """

    gpu_type: str
    spot: tuple[str, str] | None = None
    spot_taint: bool = False
    mounts_buckets: bool = False

    def spot_selector(self) -> dict[str, str]:
        """Return a node selector that only spot nodes match."""
        return dict([self.spot]) if self.spot else {}

    def spot_tolerations(self) -> list[dict[str, str]]:
        """Return the tolerations that allow a pod on spot nodes."""
        if not (self.spot and self.spot_taint):
            return []
        key, value = self.spot
        return [{"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"}]

    def no_spot_affinity(self) -> dict[str, Any] | None:
        """Return a node affinity that keeps a pod off spot nodes, even those without a taint."""
        if not self.spot:
            return None
        key, value = self.spot
        other = {"matchExpressions": [{"key": key, "operator": "NotIn", "values": [value]}]}
        return {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [other]}
            }
        }


CLOUDS: Mapping[str, Cloud] = {
    "gke": Cloud(
        gpu_type="cloud.google.com/gke-accelerator",
        spot=("cloud.google.com/gke-spot", "true"),
        spot_taint=True,
        mounts_buckets=True,
    ),
    "eks": Cloud(gpu_type=_DISCOVERED_GPU, spot=("eks.amazonaws.com/capacityType", "SPOT")),
    "aks": Cloud(
        gpu_type=_DISCOVERED_GPU,
        spot=("kubernetes.azure.com/scalesetpriority", "spot"),
        spot_taint=True,
    ),
    "karpenter": Cloud(
        gpu_type="karpenter.k8s.aws/instance-gpu-name", spot=("karpenter.sh/capacity-type", "spot")
    ),
    "none": Cloud(gpu_type=_DISCOVERED_GPU),
}
"""The clouds by the values of `kubernetes.cloud` in a job spec."""


def cloud_of(spec: JobSpec) -> Cloud:
    """Return the cloud whose node labels a job uses."""
    return CLOUDS[spec.kubernetes.cloud]


def placement(spec: JobSpec, task_type: str, role: Role) -> Object:
    """Return the fields of a pod's spec that choose its node; unused ones are None or empty."""
    cloud = cloud_of(spec)
    other_role_is_spot = not role.spot and any(other.spot for _, other in spec.roles)
    return {
        "nodeSelector": _node_labels(spec, role),
        "affinity": cloud.no_spot_affinity() if other_role_is_spot else None,
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
    # Two ps on one node would share its network link.
    return [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": pod_labels(spec, "ps")},
        }
    ]
