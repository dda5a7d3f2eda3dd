"""The kinds of Kubernetes objects that jobs consist of, and their paths on an API server."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class ApiResource:
    """A kind of namespaced objects.

    Attributes:
        group: The API group; empty for the core group.
        version: The API version.
        kind: The kind's name in objects.
        plural: The kind's name in paths.
        home: A page on how to install the kind; empty for Kubernetes's own kinds.
    """

    group: str
    version: str
    kind: str
    plural: str
    home: str = ""

    @property
    def api_version(self) -> str:
        """The `apiVersion` of the objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str, name: str = "") -> str:
        """Return the path of one object in a namespace, or of all objects there."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"
        objects = f"{root}/namespaces/{namespace}/{self.plural}"
        return f"{objects}/{name}" if name else objects

    def named(self, name: str) -> str:
        """Return an object's name as kubectl writes it, e.g. `job.batch/gpt-chief`."""
        group = f".{self.group}" if self.group else ""
        return f"{self.kind.lower()}{group}/{name}"


POD = ApiResource(group="", version="v1", kind="Pod", plural="pods")
STATEFUL_SET = ApiResource(group="apps", version="v1", kind="StatefulSet", plural="statefulsets")
JOB = ApiResource(group="batch", version="v1", kind="Job", plural="jobs")
JOB_SET = ApiResource(
    group="jobset.x-k8s.io",
    version="v1alpha2",
    kind="JobSet",
    plural="jobsets",
    home="https://jobset.sigs.k8s.io",
)
TF_JOB = ApiResource(
    group="kubeflow.org",
    version="v1",
    kind="TFJob",
    plural="tfjobs",
    home="https://github.com/kubeflow/trainer/tree/release-1.9",
)

_RBAC = "rbac.authorization.k8s.io"

WORKLOADS = (TF_JOB, JOB_SET, JOB, STATEFUL_SET)
"""The kinds whose objects have pods."""

# In the order in which objects are deleted: those that run pods first.
ALL = (
    *WORKLOADS,
    ApiResource(group=_RBAC, version="v1", kind="RoleBinding", plural="rolebindings"),
    ApiResource(group=_RBAC, version="v1", kind="Role", plural="roles"),
    ApiResource(group="", version="v1", kind="ServiceAccount", plural="serviceaccounts"),
    ApiResource(
        group="policy", version="v1", kind="PodDisruptionBudget", plural="poddisruptionbudgets"
    ),
    ApiResource(
        group="networking.k8s.io", version="v1", kind="NetworkPolicy", plural="networkpolicies"
    ),
    ApiResource(group="", version="v1", kind="Service", plural="services"),
)


def resource_of(document: Mapping[str, Any]) -> ApiResource:
    """Return the resource of a rendered object."""
    kind = (document["apiVersion"], document["kind"])
    return next(resource for resource in ALL if (resource.api_version, resource.kind) == kind)
