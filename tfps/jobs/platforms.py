"""What only one platform asks for: Kubernetes, Vertex AI."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Literal

from tfps.errors import Fault
from tfps.jobs import checks, names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kubernetes:
    """Settings of a job on Kubernetes, in whichever form it is rendered.

    Attributes:
        namespace: Where the objects go; None leaves it to kubectl's context.
        cloud: Whose labels of nodes say which GPU a node has and whether it is a spot node. "none"
            takes those of NVIDIA's GPU feature discovery, and has none for spot.
        service_account: Whose rights the tasks have outside of the cluster (workload identity). In
            the cluster they get no token.
        priority_class: Of the pods.
        image_pull_secrets: Names of the Secrets that give access to the image's registry.
        image_pull_policy: When a node asks the registry; None leaves it to Kubernetes.
        user_id: The user and group that tasks run as; never root.
        keep_s: Seconds for which a finished job's objects stay, for its logs.
    """

    namespace: str | None = None
    cloud: Literal["gke", "eks", "aks", "karpenter", "none"] = "gke"
    service_account: str | None = None
    priority_class: str | None = None
    image_pull_secrets: tuple[str, ...] = ()
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    user_id: int = 1000
    keep_s: int = 86_400

    def __post_init__(self) -> None:
        """Check the fields."""
        checks.check(self._faults())

    def _faults(self) -> Iterator[Fault]:
        yield from checks.form("namespace", self.namespace, names.dns_label_fault)
        yield from checks.form("service_account", self.service_account, names.dns_name_fault)
        yield from checks.form("priority_class", self.priority_class, names.dns_name_fault)
        for index, secret in enumerate(self.image_pull_secrets):
            sentence = names.dns_name_fault(secret)
            if sentence is not None:
                yield Fault(("image_pull_secrets", index), sentence)
        if self.user_id < 1:
            yield Fault(
                ("user_id",), f"{self.user_id} is root, which tasks do not run as. Give 1 or more."
            )
        yield from checks.at_least("keep_s", self.keep_s, 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vertex:
    """Settings of a job on Vertex AI.

    Attributes:
        project: Google Cloud project; None for the one of the environment's credentials.
        location: Region, e.g. "europe-west4".
        service_account: Whose rights the tasks have; None for Vertex AI's own agent.
        network: Full name of the VPC that tasks are peered with,
            "projects/NUMBER/global/networks/NAME"; None for none.
        base_output_dir: A gs:// folder; the tasks get folders of it as AIP_MODEL_DIR,
            AIP_CHECKPOINT_DIR and AIP_TENSORBOARD_LOG_DIR.
        tensorboard: Full name of a Vertex AI TensorBoard, which needs a service account and a
            base_output_dir.
        web_access: Whether a shell on the tasks can be opened in the console.
    """

    project: str | None = None
    location: str | None = None
    service_account: str | None = None
    network: str | None = None
    base_output_dir: str | None = None
    tensorboard: str | None = None
    web_access: bool = False

    def __post_init__(self) -> None:
        """Check the fields."""
        checks.check(self._faults())

    def _faults(self) -> Iterator[Fault]:
        yield from _like("project", self.project, r"[a-z0-9.:-]+", "my-project")
        yield from _like("location", self.location, r"[a-z]+-[a-z]+[0-9]+", "europe-west4")
        yield from _like(
            "service_account", self.service_account, r"[^@\s]+@[^@\s]+", "NAME@PROJECT.iam..."
        )
        yield from _like(
            "network",
            self.network,
            r"projects/[0-9]+/global/networks/[^/]+",
            "projects/12345/global/networks/default",
        )
        yield from _like(
            "tensorboard",
            self.tensorboard,
            r"projects/[^/]+/locations/[^/]+/tensorboards/[^/]+",
            "projects/12345/locations/europe-west4/tensorboards/67890",
        )
        yield from _like("base_output_dir", self.base_output_dir, r"gs://\S+", "gs://bucket/runs")
        if self.tensorboard is not None and self.service_account is None:
            yield Fault(
                ("tensorboard",),
                "a Vertex AI TensorBoard needs a service_account that may write to it. Give one.",
            )
        if self.tensorboard is not None and self.base_output_dir is None:
            yield Fault(
                ("tensorboard",),
                "a Vertex AI TensorBoard gets its logs from a folder of base_output_dir. Give one.",
            )


def _like(name: str, value: str | None, pattern: str, example: str) -> Iterator[Fault]:
    if value is not None and not re.fullmatch(pattern, value):
        yield Fault((name,), f"{value!r} has not the form of {example!r}. Write it like that.")
