"""What this process finds out about its machine: host, addresses, disks and resource limits."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import resource
import shutil
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path

import psutil

from tfps.cluster.tf_config import TFConfig
from tfps.doctor import software
from tfps.doctor.observations import Disk, ResourceLimits, TaskFacts

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NETWORK_NAMESPACE = Path("/proc/self/ns/net")
_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def task_facts(config: TFConfig | None, folders: Iterable[str]) -> TaskFacts:
    """Return the facts of this process, except whether it can listen at its port.

    Args:
        config: Its TF_CONFIG; None to check this machine alone.
        folders: The folders in which it writes.
    """
    host_id = _host_id()
    task = config.task if config is not None else None
    return TaskFacts(
        task=task,
        cluster=config.cluster.as_dict() if config is not None else {},
        host=platform.node(),
        host_id=host_id,
        network_id=f"{host_id} {_network_namespace()}",
        versions=software.installed_versions(),
        limits=resource_limits(),
        disks=tuple(_disk(folder) for folder in folders),
        # In a job, only workers compute on GPUs.
        gpus=software.find_gpus(ask_tensorflow=task is None or task.type == "worker"),
        ips=_ips(),
    )


def listening_process(port: int) -> str:
    """Return the name and pid of the process that listens at a port; "" if it cannot be seen."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
            if listens and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""


def resource_limits() -> ResourceLimits:
    """Return how much of its machine this process may use, cgroups included."""
    membership = _MEMBERSHIP.read_text() if _MEMBERSHIP.exists() else ""
    folders = cgroup_folders(membership, _CGROUPS)
    memory = psutil.virtual_memory()
    limits = [limit for folder in folders if (limit := memory_limit(folder)) is not None]
    quotas = [quota for folder in folders if (quota := quota_cores(folder)) is not None]
    return ResourceLimits(
        cores=len(os.sched_getaffinity(0)),
        quota_cores=min(quotas, default=None),
        intra_op_threads=os.environ.get("TF_NUM_INTRAOP_THREADS", ""),
        memory_bytes=min([memory.total, *(limit.bytes for limit in limits)]),
        available_bytes=min([memory.available, *(limit.available_bytes for limit in limits)]),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryLimit:
    """A cgroup's memory limit, and how much of it is free."""

    bytes: int
    available_bytes: int


def cgroup_folders(membership: str, root: Path) -> list[Path]:
    """Return the folders of a process's cgroups and their parents, whose limits apply to it.

    Args:
        membership: The content of `/proc/self/cgroup`, of cgroup version 1 or 2.
        root: Where cgroups are mounted. In a container this may be the process's own cgroup.
    """
    folders: list[Path] = []
    for line in membership.splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy != "0" and not {"memory", "cpu"} & set(controllers.split(",")):
            continue
        mount = root if hierarchy == "0" else root / controllers
        own = mount / path.lstrip("/")
        folders += [folder for folder in (own, *own.parents) if folder.is_relative_to(mount)]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def memory_limit(folder: Path) -> MemoryLimit | None:
    """Return the memory limit of one cgroup; None if it has none."""
    limit = _first_number(folder, ("memory.max", "memory.limit_in_bytes"))
    used = _first_number(folder, ("memory.current", "memory.usage_in_bytes"))
    if limit is None or used is None:
        return None
    # The kernel frees the file cache when memory is needed.
    available_bytes = max(0, limit - used + _cached_bytes(folder))
    return MemoryLimit(bytes=limit, available_bytes=available_bytes)


def quota_cores(folder: Path) -> float | None:
    """Return the CPU time that one cgroup grants, in cores; None without a quota."""
    words = _read(folder / "cpu.max").split() or [
        *_read(folder / "cpu.cfs_quota_us").split(),
        *_read(folder / "cpu.cfs_period_us").split(),
    ]
    with contextlib.suppress(ValueError):
        quota, period = (int(word) for word in words)
        return quota / period if quota > 0 < period else None
    return None


def _cached_bytes(folder: Path) -> int:
    for line in _read(folder / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file"):
            return int(value)
    return 0


def _first_number(folder: Path, names: Iterable[str]) -> int | None:
    texts = (_read(folder / name) for name in names)
    return next((int(text) for text in texts if text.isdigit()), None)


def _read(file: Path) -> str:
    with contextlib.suppress(OSError):
        return file.read_text().strip()
    return ""


def _disk(folder: str) -> Disk:
    path = os.path.abspath(folder)
    try:
        free_bytes = shutil.disk_usage(path).free
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        return Disk(path=path, fault=error.strerror or str(error))
    return Disk(path=path, free_bytes=free_bytes)


def _host_id() -> str:
    # Cloned machines share their name and machine-id, but not the id of their boot.
    with contextlib.suppress(OSError):
        return _BOOT_ID.read_text().strip()
    return platform.node()


def _network_namespace() -> int:
    with contextlib.suppress(OSError):
        return _NETWORK_NAMESPACE.stat().st_ino
    return 0


def _ips() -> tuple[str, ...]:
    ips = [
        address.address.partition("%")[0]
        for interface in psutil.net_if_addrs().values()
        for address in interface
        if address.family in (socket.AF_INET, socket.AF_INET6)
    ]
    return tuple(dict.fromkeys(ip for ip in ips if ip not in ("127.0.0.1", "::1")))
