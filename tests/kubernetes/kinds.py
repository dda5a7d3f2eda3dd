"""The kinds of objects in the simulated cluster, and their paths in its API."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from tests.kubernetes.objects import Object


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of objects.

    Attributes:
        group: Its API group; empty for the core's.
        version: Its API version.
        name: As it is written in objects.
        plural: As it is written in paths.
        short_names: What kubectl takes for it.
        namespaced: Whether its objects belong to a namespace.
        scales: Whether it has the scale subresource.
        is_custom: Whether a custom resource definition makes it.
    """

    group: str
    version: str
    name: str
    plural: str
    short_names: tuple[str, ...] = ()
    namespaced: bool = True
    scales: bool = False
    is_custom: bool = False

    @property
    def api_version(self) -> str:
        """What objects have as their `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """How messages name it, e.g. `jobs.batch`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


def _core(name: str, plural: str, *short: str, namespaced: bool = True) -> Kind:
    return Kind(
        group="",
        version="v1",
        name=name,
        plural=plural,
        short_names=short,
        namespaced=namespaced,
    )


POD = _core("Pod", "pods", "po")
SERVICE = _core("Service", "services", "svc")
SERVICE_ACCOUNT = _core("ServiceAccount", "serviceaccounts", "sa")
NAMESPACE = _core("Namespace", "namespaces", "ns", namespaced=False)
EVENT = _core("Event", "events", "ev")
STATEFUL_SET = Kind(
    group="apps",
    version="v1",
    name="StatefulSet",
    plural="statefulsets",
    short_names=("sts",),
    scales=True,
)
JOB = Kind(group="batch", version="v1", name="Job", plural="jobs")
BUDGET = Kind(
    group="policy",
    version="v1",
    name="PodDisruptionBudget",
    plural="poddisruptionbudgets",
    short_names=("pdb",),
)
NETWORK_POLICY = Kind(
    group="networking.k8s.io",
    version="v1",
    name="NetworkPolicy",
    plural="networkpolicies",
    short_names=("netpol",),
)
ROLE = Kind(group="rbac.authorization.k8s.io", version="v1", name="Role", plural="roles")
ROLE_BINDING = Kind(
    group="rbac.authorization.k8s.io", version="v1", name="RoleBinding", plural="rolebindings"
)
JOB_SET = Kind(
    group="jobset.x-k8s.io", version="v1alpha2", name="JobSet", plural="jobsets", is_custom=True
)
TF_JOB = Kind(group="kubeflow.org", version="v1", name="TFJob", plural="tfjobs", is_custom=True)

BUILT_IN = (
    POD,
    SERVICE,
    SERVICE_ACCOUNT,
    NAMESPACE,
    EVENT,
    STATEFUL_SET,
    JOB,
    BUDGET,
    NETWORK_POLICY,
    ROLE,
    ROLE_BINDING,
)
CUSTOM = (JOB_SET, TF_JOB)


def kind_of(obj: Object, known: Iterable[Kind]) -> Kind | None:
    """Return the kind of an object, or None when it is not among those known."""
    return next(
        (
            item
            for item in known
            if (item.api_version, item.name) == (obj.get("apiVersion"), obj.get("kind"))
        ),
        None,
    )
