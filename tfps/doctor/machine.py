"""Look up what this task can say of itself."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path

import psutil

from tfps.cluster.tf_config import TFConfig
from tfps.doctor import gpus, limits, versions
from tfps.doctor.facts import Disk, Facts

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NETWORK = Path("/proc/self/ns/net")


def look(config: TFConfig | None, folders: Iterable[str]) -> Facts:
    """Return the facts of this process, all but whether it can listen at its port.

    Args:
        config: Its TF_CONFIG; None for this machine alone.
        folders: Where it writes.
    """
    host_id = _host_id()
    task = config.task if config is not None else None
    return Facts(
        task=task,
        cluster=config.cluster.as_dict() if config is not None else {},
        host=platform.node(),
        host_id=host_id,
        network_id=f"{host_id} {_network()}",
        versions=versions.installed(),
        limits=limits.look(),
        disks=tuple(_disk(folder) for folder in folders),
        # Of a job's tasks only a worker computes on GPUs.
        gpus=gpus.look(ask_tensorflow=task is None or task.type == "worker"),
        ips=_ips(),
    )


def listener_of(port: int) -> str:
    """Say which process listens at a port of this machine; nothing when that cannot be seen."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
            if listens and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
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
    # A machine's name and its machine-id may be copies, its boot's number is not.
    with contextlib.suppress(OSError):
        return _BOOT_ID.read_text().strip()
    return platform.node()


def _network() -> int:
    with contextlib.suppress(OSError):
        return _NETWORK.stat().st_ino
    return 0


def _ips() -> tuple[str, ...]:
    found = [
        address.address.partition("%")[0]
        for interface in psutil.net_if_addrs().values()
        for address in interface
        if address.family in (socket.AF_INET, socket.AF_INET6)
    ]
    return tuple(dict.fromkeys(ip for ip in found if ip not in ("127.0.0.1", "::1")))
