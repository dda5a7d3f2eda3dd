"""What a task of Vertex AI mounts: buckets, which are always there, and NFS shares."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from tfps.errors import Fault
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec
from tfps.jobs.storage import Mount, Volume
from tfps.jobs.vertex.message import Message, message

_BUCKETS, _SHARES = "/gcs/", "/mnt/nfs/"

_ADVICE = {
    "claim": "has no PersistentVolumeClaims. Use a gcs_bucket or nfs",
    "host_path": "shows no folder of its machines. Use a gcs_bucket or nfs",
    "empty_dir_gib": "has no scratch volumes. Write to /tmp, with disk_gib for its size",
    "memory_gib": "has no volumes in memory. Write to /dev/shm or /tmp",
    "secret": "has no Kubernetes Secrets. Let the program ask Secret Manager, with the rights of "
    "vertex.service_account",
    "config_map": "has no ConfigMaps. Put the files into the image, or into a gcs_bucket",
}


def nfs_mounts(spec: JobSpec, role: Role) -> list[Message]:
    """Return a pool's nfsMounts, for a job without `volume_faults`."""
    mounted = ((mount, spec.volumes[mount.volume].nfs) for mount in spec.mounts_of(role))
    return [
        message(server=nfs.server, path=nfs.path, mountPoint=_last_part(mount.path))
        for mount, nfs in mounted
        if nfs is not None
    ]


def volume_faults(spec: JobSpec) -> Iterator[Fault]:
    """Say what Vertex AI cannot mount, or not there."""
    places = list(_mounts(spec))
    for name in dict.fromkeys(mount.volume for _, mount in places):
        yield from (
            fault.below("volumes", name) for fault in _kind_faults(spec, spec.volumes[name])
        )
    for path, mount in places:
        expected = _expected_path(spec.volumes[mount.volume], mount)
        if expected is not None and mount.path.rstrip("/") != expected:
            yield Fault(
                (*path, "path"),
                f"{mount.path!r} is not where Vertex AI mounts it. Write {expected!r}.",
            )


def writable_anyway(spec: JobSpec) -> Iterator[Fault]:
    """Say which mounts are not read-only on Vertex AI."""
    for path, mount in _mounts(spec):
        if mount.read_only:
            yield Fault(
                (*path, "read_only"),
                "Vertex AI mounts nothing so; what the task's service account may write to, or the "
                "share exports, is writable.",
            )


def _mounts(spec: JobSpec) -> Iterator[tuple[tuple[str | int, ...], Mount]]:
    for index, mount in enumerate(spec.mounts):
        yield ("mounts", index), mount
    for task_type, role in spec.roles:
        for index, mount in enumerate(role.mounts):
            yield ("roles", task_type, "mounts", index), mount


def _kind_faults(spec: JobSpec, volume: Volume) -> Iterator[Fault]:
    if volume.kind in _ADVICE:
        yield Fault((volume.kind,), f"Vertex AI {_ADVICE[volume.kind]}.")
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
    """Return the only path at which Vertex AI mounts a volume, or None if it mounts none."""
    if volume.gcs_bucket is not None:
        return f"{_BUCKETS}{volume.gcs_bucket}"
    if volume.nfs is not None:
        return f"{_SHARES}{_last_part(mount.path)}"
    return None


def _last_part(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _is_ip_address(server: str) -> bool:
    try:
        ipaddress.ip_address(server)
    except ValueError:
        return False
    return True
