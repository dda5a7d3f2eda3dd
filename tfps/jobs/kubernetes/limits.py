"""What of a job spec Kubernetes cannot do, in any of the three forms."""

from __future__ import annotations

from collections.abc import Iterator

from tfps.errors import Fault
from tfps.jobs import checks
from tfps.jobs.kubernetes.nodes import cloud_of
from tfps.jobs.spec import JobSpec


def check(spec: JobSpec) -> None:
    """Check that Kubernetes can run a job.

    Raises:
        JobSpecError: It cannot run the job that the spec describes.
    """
    checks.check(_faults(spec))


def left_out(spec: JobSpec) -> Iterator[Fault]:
    """Yield the parts of a spec that have no counterpart on Kubernetes, and the consequences."""
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


def _faults(spec: JobSpec) -> Iterator[Fault]:
    without_image = [task_type for task_type, role in spec.roles if spec.image_of(role) is None]
    if without_image:
        yield Fault(
            ("image",),
            f"there is none for {', '.join(without_image)}. Give one for all roles, e.g. image: "
            "tfps:0.1.0.",
        )
    for name, volume in spec.volumes.items():
        if volume.gcs_bucket is not None and not cloud_of(spec).mounts_buckets:
            yield Fault(
                ("volumes", name, "gcs_bucket"),
                f"kubernetes.cloud {spec.kubernetes.cloud!r} has no driver that mounts buckets. "
                "Use a claim or nfs, or cloud: gke.",
            )
