"""What of a job spec Vertex AI cannot do, or does differently."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from tfps.errors import Fault, KeyPath
from tfps.jobs import checks
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec
from tfps.jobs.storage import Mount, Volume
from tfps.jobs.tasks import environment
from tfps.jobs.vertex.machines import machine_faults

PORT = 2222
"""The port on which the server of every task listens."""

_MOST_VARIABLES = 100
_MOST_DISK_GB = 64_000
_BUCKETS, _SHARES = "/gcs/", "/mnt/nfs/"

_LABEL_KEY = re.compile(r"[a-z][-_a-z0-9]{0,62}")
_LABEL_VALUE = re.compile(r"[-_a-z0-9]{0,63}")

_LEFT_OUT_OF_ROLE = {
    "minimum_replicas": "Vertex AI empties no machines: it starts again what it loses.",
    "ports": "Vertex AI names no further ports.",
    "node_selector": "Vertex AI has no nodes to choose from. Choose a machine_type.",
    "tolerations": "Vertex AI has no nodes to choose from.",
    "hosts": "Vertex AI places the tasks itself.",
}
_VOLUME_ADVICE = {
    "claim": "has no PersistentVolumeClaims. Use a gcs_bucket or nfs",
    "host_path": "shows no folder of its machines. Use a gcs_bucket or nfs",
    "empty_dir_gib": "has no scratch volumes. Write to /tmp, with disk_gib for its size",
    "memory_gib": "has no volumes in memory. Write to /dev/shm or /tmp",
    "secret": "has no Kubernetes Secrets. Let the program ask Secret Manager, with the rights of "
    "vertex.service_account",
    "config_map": "has no ConfigMaps. Put the files into the image, or into a gcs_bucket",
}


def check(spec: JobSpec) -> None:
    """Check that Vertex AI can run a job.

    Raises:
        JobSpecError: It cannot run the job that the spec describes.
    """
    checks.check(_faults(spec))


def left_out(spec: JobSpec) -> Iterator[Fault]:
    """Yield the parts of a spec that have no counterpart on Vertex AI, and the consequences."""
    if spec.port != PORT:
        yield Fault(("port",), f"Vertex AI has the servers listen at {PORT}.")
    if spec.timeout_s is None:
        yield Fault(("timeout_s",), "Vertex AI ends a job after 7 days. Give more, if need be.")
    yield from _labels_left_out(spec)
    yield from _read_only_left_out(spec)
    for task_type, role in spec.roles:
        for name, sentence in _LEFT_OUT_OF_ROLE.items():
            if getattr(role, name):
                yield Fault(("roles", task_type, name), sentence)
    if not never_restarts(spec):
        yield from _restarts_left_out(spec)


def labels(spec: JobSpec) -> dict[str, str]:
    """Return the labels of a job that Google Cloud takes, which are fewer than on Kubernetes."""
    return {key: value for key, value in spec.labels.items() if _is_label(key, value)}


def never_restarts(spec: JobSpec) -> bool:
    """Return whether no task may restart, which is all that Vertex AI can be told of restarts."""
    return all(role.restarts == 0 for _, role in spec.roles)


def is_spot(spec: JobSpec) -> bool:
    """Return whether all machines of a job are spot machines."""
    return all(role.spot for _, role in spec.roles)


def last_part(path: str) -> str:
    """Return the last part of a path, which is all that a mounted share may choose."""
    return path.rstrip("/").rpartition("/")[2]


def _faults(spec: JobSpec) -> Iterator[Fault]:
    for task_type, role in spec.roles:
        yield from (
            fault.below("roles", task_type) for fault in _role_faults(spec, task_type, role)
        )
    yield from _volume_faults(spec)


def _role_faults(spec: JobSpec, task_type: str, role: Role) -> Iterator[Fault]:
    if spec.image_of(role) is None:
        yield Fault(
            (),
            "neither the role nor the job has an image. Give one, with the path that Artifact "
            "Registry shows for it.",
        )
    yield from machine_faults(role)
    if role.disk_gib is not None and role.disk_gib > _MOST_DISK_GB:
        yield Fault(("disk_gib",), f"{role.disk_gib:g} is too much. Give at most {_MOST_DISK_GB}.")
    variables = environment(spec, task_type, role)
    if len(variables) > _MOST_VARIABLES:
        yield Fault(
            ("env",),
            f"a task would have {len(variables)} variables with those of the job and of tfps, but "
            f"Vertex AI takes at most {_MOST_VARIABLES}. Put some into a file of the image.",
        )
    if role.spot and not is_spot(spec):
        yield Fault(
            ("spot",),
            "Vertex AI takes either all machines of a job as spot machines or none. Give spot: "
            "true to all roles (losing a machine starts the job again), or to none.",
        )


def _volume_faults(spec: JobSpec) -> Iterator[Fault]:
    mounts = list(_mounts(spec))
    for name in dict.fromkeys(mount.volume for _, mount in mounts):
        yield from (
            fault.below("volumes", name) for fault in _kind_faults(spec, spec.volumes[name])
        )
    for path, mount in mounts:
        expected = _expected_path(spec.volumes[mount.volume], mount)
        if expected is not None and mount.path.rstrip("/") != expected:
            yield Fault(
                (*path, "path"),
                f"{mount.path!r} is not where Vertex AI mounts it. Write {expected!r}.",
            )


def _kind_faults(spec: JobSpec, volume: Volume) -> Iterator[Fault]:
    if volume.kind in _VOLUME_ADVICE:
        yield Fault((volume.kind,), f"Vertex AI {_VOLUME_ADVICE[volume.kind]}.")
    if volume.nfs is None:
        return
    if not _is_ip_address(volume.nfs.server):
        yield Fault(
            ("nfs", "server"),
            f"{volume.nfs.server!r} is not an IP address, by which alone Vertex AI finds a server. "
            "Give its private address in the VPC.",
        )
    if spec.vertex.network is None:
        yield Fault(("nfs",), "tasks reach no share without a VPC. Give vertex.network.")


def _expected_path(volume: Volume, mount: Mount) -> str | None:
    """Return the only path at which Vertex AI mounts a volume; None if it does not mount it."""
    if volume.gcs_bucket is not None:
        return f"{_BUCKETS}{volume.gcs_bucket}"
    if volume.nfs is not None:
        return f"{_SHARES}{last_part(mount.path)}"
    return None


def _is_ip_address(server: str) -> bool:
    try:
        ipaddress.ip_address(server)
    except ValueError:
        return False
    return True


def _mounts(spec: JobSpec) -> Iterator[tuple[KeyPath, Mount]]:
    for index, mount in enumerate(spec.mounts):
        yield ("mounts", index), mount
    for task_type, role in spec.roles:
        for index, mount in enumerate(role.mounts):
            yield ("roles", task_type, "mounts", index), mount


def _labels_left_out(spec: JobSpec) -> Iterator[Fault]:
    for key, value in spec.labels.items():
        if not _is_label(key, value):
            yield Fault(
                ("labels", key),
                f"'{key}: {value}' is not a label that Google Cloud takes. To have it there, write "
                "lowercase letters, digits, '-' and '_', with a letter first.",
            )


def _is_label(key: str, value: str) -> bool:
    return bool(_LABEL_KEY.fullmatch(key) and _LABEL_VALUE.fullmatch(value))


def _read_only_left_out(spec: JobSpec) -> Iterator[Fault]:
    for path, mount in _mounts(spec):
        if mount.read_only:
            yield Fault(
                (*path, "read_only"),
                "Vertex AI mounts nothing so; what the task's service account may write to, or the "
                "share exports, is writable.",
            )


def _restarts_left_out(spec: JobSpec) -> Iterator[Fault]:
    for task_type, role in spec.roles:
        if role.restarts != Role.restarts:
            yield Fault(
                ("roles", task_type, "restarts"),
                "Vertex AI starts a failed task again up to five times, and then the job up to "
                "three times; 0 for all roles forbids it to retry.",
            )
