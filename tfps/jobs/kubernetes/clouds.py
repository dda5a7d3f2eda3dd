"""How clouds label the nodes that have GPUs, and those that they may take back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cloud:
    """The labels of a cloud's nodes.

    Attributes:
        gpu_type: Key of the label whose value is a node's GPU.
        spot: Key and value of the label of spot nodes, if they have one.
        spot_taint: Whether spot nodes (can) have a taint of the same key and value.
        mounts_buckets: Whether a driver for Cloud Storage buckets is there.
    """

    gpu_type: str
    spot: tuple[str, str] | None = None
    spot_taint: bool = False
    mounts_buckets: bool = False

    def spot_selector(self) -> dict[str, str]:
        """Return the labels that only spot nodes have."""
        return dict([self.spot]) if self.spot else {}

    def spot_tolerations(self) -> list[dict[str, str]]:
        """Return what lets a pod onto spot nodes."""
        if not (self.spot and self.spot_taint):
            return []
        key, value = self.spot
        return [{"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"}]

    def no_spot_affinity(self) -> dict[str, Any] | None:
        """Return what keeps a pod off spot nodes, those without a taint included."""
        if not self.spot:
            return None
        key, value = self.spot
        other = {"matchExpressions": [{"key": key, "operator": "NotIn", "values": [value]}]}
        return {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [other]}
            }
        }


# Made by NVIDIA's GPU feature discovery, which runs with its device plugin.
_DISCOVERED = "nvidia.com/gpu.product"

CLOUDS: Mapping[str, Cloud] = {
    "gke": Cloud(
        gpu_type="cloud.google.com/gke-accelerator",
        spot=("cloud.google.com/gke-spot", "true"),
        spot_taint=True,
        mounts_buckets=True,
    ),
    "eks": Cloud(gpu_type=_DISCOVERED, spot=("eks.amazonaws.com/capacityType", "SPOT")),
    "aks": Cloud(
        gpu_type=_DISCOVERED,
        spot=("kubernetes.azure.com/scalesetpriority", "spot"),
        spot_taint=True,
    ),
    "karpenter": Cloud(
        gpu_type="karpenter.k8s.aws/instance-gpu-name", spot=("karpenter.sh/capacity-type", "spot")
    ),
    "none": Cloud(gpu_type=_DISCOVERED),
}
"""By the name that a job spec's `kubernetes.cloud` has."""
