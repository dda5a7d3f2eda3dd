"""What a task says of itself: its machine, its versions, its place in the job."""

from __future__ import annotations

import dataclasses

from tfps.cluster.spec import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Disk:
    """The file system of a folder.

    Attributes:
        path: The folder.
        free_bytes: What may still be written.
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
        usable: How many TensorFlow can use; None when it was not asked.
        missing: Packages of `tensorflow[and-cuda]` that are not installed.
    """

    listed: tuple[Gpu, ...] = ()
    fault: str = ""
    hidden: bool = False
    usable: int | None = None
    missing: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What the task may take of its machine.

    Attributes:
        cores: Cores that the task's threads may run on.
        quota_cores: Cores' worth of time that its cgroup grants; None without a quota.
        intra_op_threads: TF_NUM_INTRAOP_THREADS; empty when it is not set.
        memory_bytes: The machine's memory, or its cgroup's limit.
        available_bytes: What of it is not in use.
        open_files: How many files and connections the task may have open.
    """

    cores: int
    quota_cores: float | None = None
    intra_op_threads: str = ""
    memory_bytes: int
    available_bytes: int
    open_files: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """What a task says of itself.

    Attributes:
        task: Which task it is; None without TF_CONFIG.
        cluster: The cluster of its TF_CONFIG.
        host: The name of its host.
        host_id: Differs from host to host, also where their names do not.
        network_id: Differs where loopback does: another host, or another network namespace of one.
        versions: The version of each package that is installed, and of Python.
        limits: What it may take of its machine.
        disks: The folders in which it writes.
        gpus: The GPUs of its machine.
        ips: The addresses of its interfaces, loopback left out.
        port_fault: Why it cannot listen at its port; empty when it can.
    """

    task: Task | None
    cluster: dict[str, list[str]]
    host: str
    host_id: str
    network_id: str
    versions: dict[str, str]
    limits: Limits
    disks: tuple[Disk, ...]
    gpus: Gpus
    ips: tuple[str, ...]
    port_fault: str = ""

    @property
    def label(self) -> str:
        """What the task is called in a report."""
        return str(self.task) if self.task is not None else "this machine"
