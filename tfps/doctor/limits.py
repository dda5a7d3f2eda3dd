"""What this process may take of its machine: cores, memory and open files, cgroups included."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import resource
from collections.abc import Iterable
from pathlib import Path

import psutil

from tfps.doctor.facts import Limits

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def look() -> Limits:
    """Return what this process may take of its machine."""
    membership = _MEMBERSHIP.read_text() if _MEMBERSHIP.exists() else ""
    folders = cgroup_folders(membership, _CGROUPS)
    memory = psutil.virtual_memory()
    limits = [limit for folder in folders if (limit := memory_limit(folder)) is not None]
    quotas = [quota for folder in folders if (quota := quota_cores(folder)) is not None]
    return Limits(
        cores=len(os.sched_getaffinity(0)),
        quota_cores=min(quotas, default=None),
        intra_op_threads=os.environ.get("TF_NUM_INTRAOP_THREADS", ""),
        memory_bytes=min([memory.total, *(limit.bytes for limit in limits)]),
        available_bytes=min([memory.available, *(limit.left_bytes for limit in limits)]),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryLimit:
    """A cgroup's limit of memory, and what is left of it."""

    bytes: int
    left_bytes: int


def cgroup_folders(membership: str, root: Path) -> list[Path]:
    """Return the folders whose limits hold for a process: its cgroups and those around them.

    Args:
        membership: The content of `/proc/self/cgroup`, of version 1 or 2.
        root: Where cgroups are mounted. In a container it may be the process's own one.
    """
    folders: list[Path] = []
    for line in membership.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number != "0" and not {"memory", "cpu"} & set(controllers.split(",")):
            continue
        mount = root if number == "0" else root / controllers
        inner = mount / path.lstrip("/")
        within = [inner, *inner.parents]
        folders += [folder for folder in within if folder.is_relative_to(mount)]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def memory_limit(folder: Path) -> MemoryLimit | None:
    """Return the limit of one cgroup; None when it has none."""
    limit = _first_number(folder, ("memory.max", "memory.limit_in_bytes"))
    used = _first_number(folder, ("memory.current", "memory.usage_in_bytes"))
    if limit is None or used is None:
        return None
    # What files have cached is given back when it is needed.
    return MemoryLimit(bytes=limit, left_bytes=max(0, limit - used + _cached_bytes(folder)))


def quota_cores(folder: Path) -> float | None:
    """Return how many cores' worth of time one cgroup grants; None without a quota."""
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
