"""Storage for tasks: volumes, and where tasks mount them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from tfps.errors import Fault
from tfps.jobs import checks


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nfs:
    """An export of an NFS server.

    Attributes:
        server: The server's host name or IP address.
        path: The exported folder, absolute.
    """

    server: str
    path: str

    def __post_init__(self) -> None:
        """Check the fields."""
        checks.check(_absolute("path", self.path))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Volume:
    """Storage that tasks can mount, of exactly one kind.

    Attributes:
        claim: Name of a PersistentVolumeClaim that exists, ReadWriteMany if several nodes mount it.
        nfs: An export of an NFS server.
        gcs_bucket: Name of a Cloud Storage bucket. Vertex AI mounts it at /gcs/BUCKET; on GKE the
            Cloud Storage FUSE driver does.
        host_path: A folder of the node, absolute.
        empty_dir_gib: GiB of scratch space on disk, deleted with its task.
        memory_gib: GiB of scratch space in the task's memory.
        secret: Name of a Kubernetes Secret.
        config_map: Name of a Kubernetes ConfigMap.
    """

    claim: str | None = None
    nfs: Nfs | None = None
    gcs_bucket: str | None = None
    host_path: str | None = None
    empty_dir_gib: float | None = None
    memory_gib: float | None = None
    secret: str | None = None
    config_map: str | None = None

    def __post_init__(self) -> None:
        """Check the fields."""
        checks.check(self._faults())

    @property
    def kind(self) -> str:
        """The name of the field that is given."""
        return self._given()[0]

    @property
    def is_shared(self) -> bool:
        """Whether all tasks see what one task writes."""
        return self.kind in ("claim", "nfs", "gcs_bucket", "host_path")

    def _given(self) -> list[str]:
        fields = (field.name for field in dataclasses.fields(self))
        return [name for name in fields if getattr(self, name) is not None]

    def _faults(self) -> Iterator[Fault]:
        given = self._given()
        if len(given) != 1:
            kinds = ", ".join(field.name for field in dataclasses.fields(self))
            has = f"has {' and '.join(given)}" if given else "says not what it is"
            yield Fault((), f"a volume {has}. Give exactly one of {kinds}.")
        yield from checks.well_formed("claim", self.claim, checks.dns_name_fault)
        yield from checks.well_formed("secret", self.secret, checks.dns_name_fault)
        yield from checks.well_formed("config_map", self.config_map, checks.dns_name_fault)
        yield from checks.well_formed("gcs_bucket", self.gcs_bucket, checks.bucket_fault)
        yield from checks.above_zero("empty_dir_gib", self.empty_dir_gib)
        yield from checks.above_zero("memory_gib", self.memory_gib)
        if self.host_path is not None:
            yield from _absolute("host_path", self.host_path)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mount:
    """The place at which a task mounts a volume.

    Attributes:
        volume: The volume's key in the job's `volumes`.
        path: The folder in the task, absolute.
        read_only: Whether the task can only read.
    """

    volume: str
    path: str
    read_only: bool = False

    def __post_init__(self) -> None:
        """Check the fields."""
        checks.check(_absolute("path", self.path))

    def contains(self, path: str) -> bool:
        """Return whether a path lies on this mount."""
        return f"{path}/".startswith(f"{self.path.rstrip('/')}/")


def _absolute(name: str, path: str) -> Iterator[Fault]:
    if not path.startswith("/") or path.rstrip("/") == "" or ".." in path.split("/"):
        yield Fault(
            (name,),
            f"{path!r} is not an absolute path of a folder below '/'. Write it from the root, "
            "without '..', e.g. '/checkpoints'.",
        )
