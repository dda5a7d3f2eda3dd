"""A job spec: what to launch, on any platform."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from tfps.cluster.spec import TASK_TYPES
from tfps.errors import Fault
from tfps.jobs import checks
from tfps.jobs.platforms import Kubernetes, Tuning, Vertex
from tfps.jobs.role import Role, command_faults, port_faults
from tfps.jobs.storage import Mount, Volume


@dataclasses.dataclass(frozen=True, kw_only=True)
class Roles:
    """The roles of a job.

    Attributes:
        chief: The role of the one task that trains.
        ps: The role of the parameter servers.
        worker: The role of the workers.
        evaluator: The role of the one task that evaluates checkpoints; None for no such task.
    """

    chief: Role = dataclasses.field(default_factory=Role)
    ps: Role
    worker: Role
    evaluator: Role | None = None

    def __post_init__(self) -> None:
        """Check the fields."""
        checks.check(self._faults())

    def __iter__(self) -> Iterator[tuple[str, Role]]:
        """Iterate over the roles that the job has, in the order of `TASK_TYPES`."""
        for task_type in TASK_TYPES:
            role = getattr(self, task_type)
            if role is not None:
                yield task_type, role

    def _faults(self) -> Iterator[Fault]:
        for task_type, role in self:
            if task_type in ("chief", "evaluator") and role.replicas != 1:
                yield Fault(
                    (task_type, "replicas"),
                    f"{role.replicas} is not possible: a job has one {task_type}. Leave it out.",
                )
            if task_type != "worker" and role.minimum_replicas not in (None, role.replicas):
                yield Fault(
                    (task_type, "minimum_replicas"),
                    "only workers can be fewer than they were. Leave it out.",
                )
        if self.ps.gpus:
            yield Fault(
                ("ps", "gpus"),
                f"{self.ps.gpus} would lie idle: a ps hides GPUs from itself. Leave it out.",
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobSpec:
    """A job: its roles, and what they share.

    Attributes:
        name: The job's name. The names of all objects that are created for the job begin with it.
        image: Container image.
        command: Program and arguments of every task. A program that calls `tfps.run` does what the
            type of its task asks for.
        env: Environment variables of every task.
        labels: Labels of every object that is created for the job.
        port: The port on which the TensorFlow server of every task listens.
        checkpoint_dir: Where tasks keep files that outlive them: a folder on a shared volume that
            is mounted, or a URL that TensorFlow reads. Tasks get it as TFPS_CHECKPOINT_DIR.
        timeout_s: The number of seconds after which the job is ended; None for no limit.
        volumes: Storage, by names that the spec chooses.
        mounts: Volumes that every task mounts.
        roles: The roles.
        tuning: A hyperparameter search, on platforms that offer one.
        kubernetes: Settings for Kubernetes.
        vertex: Settings for Vertex AI.

    Raises:
        JobSpecError: There are faults; all of them are listed.
    """

    name: str
    image: str | None = None
    command: tuple[str, ...] | None = None
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    port: int = 2222
    checkpoint_dir: str | None = None
    timeout_s: int | None = None
    volumes: Mapping[str, Volume] = dataclasses.field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    roles: Roles
    tuning: Tuning | None = None
    kubernetes: Kubernetes = dataclasses.field(default_factory=Kubernetes)
    vertex: Vertex = dataclasses.field(default_factory=Vertex)

    def __post_init__(self) -> None:
        """Check the fields."""
        checks.check((*self._own_faults(), *self._role_faults(), *self._checkpoint_faults()))

    def command_of(self, role: Role) -> tuple[str, ...]:
        """Return the program and arguments of a role's tasks."""
        return role.command or self.command or ()

    def image_of(self, role: Role) -> str | None:
        """Return the image of a role's tasks, or None if neither role nor job has one."""
        return role.image or self.image

    def mounts_of(self, role: Role) -> tuple[Mount, ...]:
        """Return the mounts of a role's tasks."""
        return (*self.mounts, *role.mounts)

    def mount_of(self, path: str, role: Role) -> Mount | None:
        """Return the mount that contains a path in a role's tasks, or None."""
        containing = [mount for mount in self.mounts_of(role) if mount.contains(path)]
        return max(containing, key=lambda mount: len(mount.path), default=None)

    def _own_faults(self) -> Iterator[Fault]:
        yield from checks.well_formed("name", self.name, checks.job_fault)
        yield from checks.well_formed("image", self.image, checks.image_fault)
        yield from command_faults(self.command)
        yield from checks.keys("env", self.env, checks.variable_fault)
        yield from checks.labels(
            "labels", self.labels, checks.label_key_fault, checks.label_value_fault
        )
        yield from port_faults("port", self.port)
        yield from checks.above_zero("timeout_s", self.timeout_s)
        yield from checks.keys("volumes", self.volumes, checks.dns_label_fault)
        yield from checks.repeated("mounts", [mount.path for mount in self.mounts], "path")
        yield from self._volume_faults(self.mounts)

    def _role_faults(self) -> Iterator[Fault]:
        without = [task_type for task_type, role in self.roles if not self.command_of(role)]
        if without:
            yield Fault(
                ("command",),
                f"there is none for {', '.join(without)}. Give one for all roles, e.g. "
                "command: [python, train.py].",
            )
        for task_type, role in self.roles:
            faults = (
                *self._volume_faults(role.mounts),
                *self._mount_faults(role),
                *self._port_faults(role),
            )
            yield from (fault.below("roles", task_type) for fault in faults)

    def _volume_faults(self, mounts: tuple[Mount, ...]) -> Iterator[Fault]:
        for index, mount in enumerate(mounts):
            if mount.volume not in self.volumes:
                yield Fault(
                    ("mounts", index, "volume"),
                    f"{mount.volume!r} is not one of the job's volumes "
                    f"({', '.join(self.volumes) or 'it has none'}). Add it to volumes.",
                )

    def _mount_faults(self, role: Role) -> Iterator[Fault]:
        taken = {mount.path for mount in self.mounts}
        for index, mount in enumerate(role.mounts):
            if mount.path in taken:
                yield Fault(
                    ("mounts", index, "path"),
                    f"{mount.path!r} is already where the job's mounts have a volume. Choose "
                    "another.",
                )

    def _port_faults(self, role: Role) -> Iterator[Fault]:
        ports = [self.port, *role.ports.values()]
        for name, port in role.ports.items():
            if ports.count(port) > 1:
                yield Fault(
                    ("ports", name), f"{port} is also another port of the task. Choose a free one."
                )
        if "tfps" in role.ports:
            yield Fault(("ports", "tfps"), "the server's own port has this name. Choose another.")

    def _checkpoint_faults(self) -> Iterator[Fault]:
        path, evaluator = self.checkpoint_dir, self.roles.evaluator
        if path is None:
            if evaluator is not None:
                yield Fault(
                    ("roles", "evaluator"),
                    "it has no checkpoints to evaluate. Give the job's checkpoint_dir.",
                )
            return
        if checks.is_url(path):
            return
        if not path.startswith("/"):
            yield Fault(
                ("checkpoint_dir",),
                f"{path!r} is neither absolute nor a URL. Write e.g. '/checkpoints' (and mount a "
                "volume there) or 'gs://bucket/folder'.",
            )
            return
        for task_type, role in self.roles:
            if task_type in ("chief", "evaluator"):
                yield from self._storage_faults(path, task_type, role)

    def _storage_faults(self, path: str, task_type: str, role: Role) -> Iterator[Fault]:
        mount = self.mount_of(path, role)
        volume = None if mount is None else self.volumes.get(mount.volume)
        if mount is None:
            yield Fault(
                ("checkpoint_dir",),
                f"{path!r} lies on no volume that the {task_type} mounts, so it would end with "
                "the task. Mount a claim, nfs, gcs_bucket or host_path there.",
            )
        elif volume is not None and not volume.is_shared:
            yield Fault(
                ("checkpoint_dir",),
                f"{path!r} lies on volume {mount.volume!r} ({volume.kind}), which does not "
                "outlive its task. Use a claim, nfs, gcs_bucket or host_path.",
            )
        elif mount.read_only:
            yield Fault(
                ("checkpoint_dir",),
                f"{path!r} lies on a mount that the {task_type} cannot write to. Leave out "
                "read_only.",
            )
