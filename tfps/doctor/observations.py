"""What is known of a job: what each task says of itself, and what the chief has found out.

Plain data. What tasks send one another has these types as well, see `protocol`.
"""

from __future__ import annotations

import dataclasses
import enum
import errno
import socket
from collections.abc import Mapping

from tfps.cluster.spec import ClusterSpec, Task

PYTHON = "Python"
PACKAGES = {
    "tfps": ("tfps",),
    "TensorFlow": ("tensorflow", "tensorflow-cpu"),
    "Keras": ("keras",),
    "keras-nlp": ("keras-nlp",),
    "keras-hub": ("keras-hub",),
    "tensorflow-text": ("tensorflow-text",),
    "numpy": ("numpy",),
}
"""The names under which each can be installed: TensorFlow without GPUs is a separate package."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Disk:
    """The file system of a folder.

    Attributes:
        path: The folder.
        free_bytes: How much can still be written.
        fault: Why nothing can be written there; empty when it can.
    """

    path: str
    free_bytes: int = 0
    fault: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU, as nvidia-smi lists it."""

    name: str
    driver: str
    memory_bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gpus:
    """The GPUs of a task's machine.

    Attributes:
        listed: Those that nvidia-smi lists.
        fault: What nvidia-smi says when it fails.
        hidden: Whether CUDA_VISIBLE_DEVICES hides all of them from the task.
        usable: How many of them TensorFlow can use; None when it was not asked.
        missing: Packages of `tensorflow[and-cuda]` that are not installed.
    """

    listed: tuple[Gpu, ...] = ()
    fault: str = ""
    hidden: bool = False
    usable: int | None = None
    missing: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResourceLimits:
    """How much of its machine a task may use.

    Attributes:
        cores: Cores that the task's threads may run on.
        quota_cores: CPU time that its cgroup grants, in cores; None without a quota.
        intra_op_threads: TF_NUM_INTRAOP_THREADS; empty when it is not set.
        memory_bytes: The machine's memory, or its cgroup's limit.
        available_bytes: How much of that memory is free.
        open_files: How many files and connections the task may have open.
    """

    cores: int
    quota_cores: float | None = None
    intra_op_threads: str = ""
    memory_bytes: int
    available_bytes: int
    open_files: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskFacts:
    """What a task says of itself.

    Attributes:
        task: Which task it is; None without TF_CONFIG.
        cluster: The cluster of its TF_CONFIG.
        host: The name of its host.
        host_id: Identifies the host, even if two hosts have the same name.
        network_id: Identifies the network namespace, and with it what loopback reaches.
        versions: The versions of Python and of each package that is installed.
        limits: How much of its machine it may use.
        disks: The folders in which it writes.
        gpus: The GPUs of its machine.
        ips: The addresses of its interfaces, without loopback.
        port_fault: Why it cannot listen at its port; empty when it can.
    """

    task: Task | None
    cluster: dict[str, list[str]]
    host: str
    host_id: str
    network_id: str
    versions: dict[str, str]
    limits: ResourceLimits
    disks: tuple[Disk, ...]
    gpus: Gpus
    ips: tuple[str, ...]
    port_fault: str = ""

    @property
    def label(self) -> str:
        """The task's name in a report."""
        return str(self.task) if self.task is not None else "this machine"


class FailureKind(enum.StrEnum):
    """How a call failed. The advice depends on it."""

    UNRESOLVED = "unresolved"
    REFUSED = "refused"
    SILENT = "silent"
    UNROUTED = "unrouted"
    STRANGER = "stranger"
    MISPLACED = "misplaced"
    PORT = "port"
    ONE_WAY = "one-way"
    SMALL_ONLY = "small-only"
    OTHER = "other"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CallFailure:
    """Why one task cannot call another.

    Attributes:
        kind: How the call failed.
        detail: The same in words.
    """

    kind: FailureKind
    detail: str

    @classmethod
    def of_error(cls, error: Exception) -> CallFailure:
        """Return the failure that an error of a connection, or of its messages, stands for."""
        if isinstance(error, socket.gaierror):
            return cls(kind=FailureKind.UNRESOLVED, detail="the name does not resolve")
        if isinstance(error, ConnectionRefusedError):
            return cls(kind=FailureKind.REFUSED, detail="connection refused")
        if isinstance(error, TimeoutError):
            return cls(kind=FailureKind.SILENT, detail="no answer")
        if isinstance(error, OSError) and error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
            return cls(kind=FailureKind.UNROUTED, detail="no route")
        if isinstance(error, OSError):
            return cls(kind=FailureKind.OTHER, detail=error.strerror or str(error))
        return cls(kind=FailureKind.STRANGER, detail=f"no tfps doctor answers there: it {error}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClockOffset:
    """A task's clock compared with this machine's.

    Attributes:
        offset_s: How far the task's clock is ahead.
        error_s: The largest possible error of `offset_s`.
    """

    offset_s: float
    error_s: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinkSpeed:
    """How fast a link is, as measured by the task that receives.

    Attributes:
        round_trip_s: The median round trip of some small messages.
        bytes_per_s: The rate at which data arrives; 0 when small messages arrive and large ones do
            not.
    """

    round_trip_s: float
    bytes_per_s: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskAnswer:
    """What the chief knows of one task.

    Attributes:
        facts: What the task says of itself.
        ip: The address at which the chief has called it; empty if it has not.
        clock: Its clock compared with the chief's; None if the chief has not called it.
    """

    facts: TaskFacts
    ip: str = ""
    clock: ClockOffset | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unreached:
    """A task that another task cannot reach, and why."""

    caller: Task
    called: Task
    failure: CallFailure


@dataclasses.dataclass(frozen=True, kw_only=True)
class Link:
    """One direction of a link between two tasks: its speed, or why it could not be measured."""

    receiver: Task
    sender: Task
    speed: LinkSpeed | None = None
    failure: CallFailure | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobObservations:
    """All that is known of a job.

    Attributes:
        spec: The cluster of the chief's TF_CONFIG; empty when only this machine is checked.
        answers: What is known of each task, by the task's label.
        missing: The tasks that the chief cannot call, and why. Some of them have called the chief.
        unreached: Which of the tasks that answer cannot reach which others.
        links: The links that were measured.
        left_out: The links that were not measured because there were too many.
    """

    spec: ClusterSpec
    answers: Mapping[str, TaskAnswer]
    missing: Mapping[Task, CallFailure] = dataclasses.field(default_factory=dict)
    unreached: tuple[Unreached, ...] = ()
    links: tuple[Link, ...] = ()
    left_out: tuple[tuple[Task, Task], ...] = ()

    @property
    def facts(self) -> tuple[TaskFacts, ...]:
        """What each task says of itself, in the order of `answers`."""
        return tuple(answer.facts for answer in self.answers.values())

    def labels_by_version(self, package: str) -> dict[str, list[str]]:
        """Return which tasks have which version of a package; "" stands for not installed."""
        labels: dict[str, list[str]] = {}
        for facts in self.facts:
            labels.setdefault(facts.versions.get(package, ""), []).append(facts.label)
        return labels
