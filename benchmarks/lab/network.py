"""A network of unnamed namespaces: a switch, and a link to it for each task.

A thread of this process holds each namespace. Nothing of it is in the machine's own namespace or in
the file system: the kernel takes a namespace and its devices away when the last thread and process
in it have ended, and so when this process and the tasks are killed.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Self, TypeVar

import psutil

from benchmarks.lab import shaping
from benchmarks.lab.place import Spot
from benchmarks.lab.shaping import DEVICE, Moved
from tfps.cluster.processes import guard

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
# BBR, which some machines have by default, goes by the shortest round trip, and is slow where
# acknowledgments queue behind what the other direction carries.
_CONGESTION_CONTROL = Path("/proc/sys/net/ipv4/tcp_congestion_control")
_COMMANDS = {"ip": "iproute2", "tc": "iproute2", "nsenter": "util-linux"}
_MOST_LINKS = 200
_SWITCH = "switch"


class NetworkError(RuntimeError):
    """The machine cannot create the network; the message says what it lacks."""


def fault() -> str:
    """Say why no network can be made here; nothing if one can."""
    if sys.platform != "linux":
        return f"network namespaces are Linux's, and this is {sys.platform}. Run it on Linux."
    if os.geteuid() != 0:
        return f"network namespaces need root, and this is user {os.geteuid()}. Run it with sudo."
    for command, package in _COMMANDS.items():
        if shutil.which(command) is None:
            return f"the command '{command}' was not found. Install the package {package}."
    return ""


class Namespace:
    """A network namespace that a thread of this process holds, until `close`.

    Attributes:
        thread_id: The thread's number, which says to `ip` which namespace is meant.
        process_path: The `/proc` folder of the thread.
    """

    def __init__(self) -> None:
        """Make the namespace, with its loopback device up.

        Raises:
            NetworkError: The kernel refuses.
        """
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="namespace")
        try:
            self.thread_id = self.submit(_leave_network).result()
            self.process_path = Path(f"/proc/{os.getpid()}/task/{self.thread_id}")
            self.command("ip", "link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise

    @property
    def path(self) -> str:
        """What `nsenter --net=` takes, in any process while this one lives."""
        return str(self.process_path / "ns" / "net")

    @property
    def inode(self) -> int:
        """The number that tells which processes are in it."""
        return os.stat(self.path).st_ino

    def submit(self, function: Callable[..., T], *arguments: object) -> Future[T]:
        """Call a function in the thread: its sockets and child processes are in the namespace."""
        return self._thread.submit(function, *arguments)

    def command(self, *words: str) -> None:
        """Run a command in the namespace.

        Raises:
            NetworkError: It failed.
        """
        done = self.submit(_run, words).result()
        if done.returncode:
            raise NetworkError(f"'{' '.join(words)}' failed: {done.stderr.strip()}")

    def close(self) -> None:
        """Let go of it; it lives on while a process is in it."""
        self._thread.shutdown()


class Link:
    """A task's namespace and its link to the switch."""

    def __init__(self, number: int, switch: Namespace) -> None:
        """Make the link of this number, from 0, and connect it.

        Raises:
            NetworkError: The kernel refuses.
        """
        self.address = shaping.address(number)
        self.namespace = Namespace()
        self._port = f"port{number}"
        self._switch = switch
        try:
            here = ("peer", "name", DEVICE, "netns", str(self.namespace.thread_id))
            switch.command("ip", "link", "add", self._port, "type", "veth", *here)
            switch.command("ip", "link", "set", self._port, "master", _SWITCH, "up")
            self.namespace.command("ip", "address", "add", f"{self.address}/24", "dev", DEVICE)
            self.namespace.command("ip", "link", "set", DEVICE, "up")
            self.namespace.submit(_CONGESTION_CONTROL.write_text, "reno").result()
        except BaseException:
            self.namespace.close()
            raise

    def set_rate(self, rate_mbit: float) -> None:
        """Give both directions a rate in Mbit/s, headers included, or `UNLIMITED`."""
        self.namespace.command("tc", *shaping.shape(DEVICE, rate_mbit))
        self._switch.command("tc", *shaping.shape(self._port, rate_mbit))

    def carried(self) -> Moved:
        """Return what it carried since it was made."""
        listing = self.namespace.process_path / "net" / "dev"
        return shaping.read_counters(listing.read_text())


class Network:
    """A switch and a link for each name; as a context manager it lets go of them."""

    def __init__(self, names: Sequence[str]) -> None:
        """Make the network; links have no limit yet.

        Args:
            names: Of the links, e.g. `worker 0`.

        Raises:
            NetworkError: The kernel refuses, or there are too many.
        """
        if len(names) > _MOST_LINKS:
            raise NetworkError(f"{len(names)} links asked for; at most {_MOST_LINKS} are possible.")
        self._switch = Namespace()
        self.links: dict[str, Link] = {}
        try:
            self._switch.command("ip", "link", "add", _SWITCH, "type", "bridge")
            self._switch.command("ip", "link", "set", _SWITCH, "up")
            for number, name in enumerate(names):
                self.links[name] = Link(number, self._switch)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def spots(self) -> dict[str, Spot]:
        """Return where tasks run, by the names of the links."""
        return {
            name: Spot(address=link.address, namespace=link.namespace.path)
            for name, link in self.links.items()
        }

    def set_rate(self, rate_mbit: float) -> None:
        """Give all links a rate in Mbit/s, each direction for itself, or `UNLIMITED`."""
        for link in self.links.values():
            link.set_rate(rate_mbit)

    def counters(self) -> dict[str, Moved]:
        """Return what each link carried, and what the processes on it computed until now."""
        cpu_s = _cpu_s({link.namespace.inode: name for name, link in self.links.items()})
        return {
            name: Moved(down_bytes=carried.down_bytes, up_bytes=carried.up_bytes, cpu_s=cpu_s[name])
            for name, link in self.links.items()
            for carried in (link.carried(),)
        }

    def close(self) -> None:
        """Let go of the namespaces; they are gone when the tasks in them have ended."""
        for link in self.links.values():
            link.namespace.close()
        self._switch.close()


def _leave_network() -> int:
    """Put this thread into a network namespace of its own; return the thread's number."""
    if _libc().unshare(_CLONE_NEWNET) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise NetworkError(
            f"the kernel made no network namespace: {reason}. In a container, run it with "
            "CAP_SYS_ADMIN and CAP_NET_ADMIN."
        )
    return threading.get_native_id()


def _run(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False)


def _cpu_s(names: Mapping[int, str]) -> dict[str, float]:
    """Return the CPU seconds of the live processes of each namespace."""
    total = dict.fromkeys(names.values(), 0.0)
    for pid in psutil.pids():
        try:
            name = names.get(os.stat(f"/proc/{pid}/ns/net").st_ino)
            if name is not None:
                total[name] += _cpu_s_of_process(pid)
        except OSError:
            continue  # It has ended.
    return total


def _cpu_s_of_process(pid: int) -> float:
    """Return CPU seconds exactly; what /proc and psutil have is in ticks of 10 ms."""
    clock = ctypes.c_int()
    if _libc().clock_getcpuclockid(pid, ctypes.byref(clock)) != 0:
        raise ProcessLookupError(pid)
    return time.clock_gettime(clock.value)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def guarded(work: Callable[[], int]) -> int:
    """Run `work` in a process that leaves no process and no network behind; return the exit code.

    A signal raises SystemExit in it. A NetworkError is printed in a line, and the code is 2.
    """

    def run(launcher_gone: int) -> int:
        del launcher_gone  # The kernel ends this process with the launcher.
        guard.die_with_parent()
        for number in guard.FORWARDED_SIGNALS:
            signal.signal(number, _end)
        guard.unblock_signals()
        try:
            return work()
        except SystemExit as ending:
            return int(ending.code or 0)
        except NetworkError as error:
            print(f"lab: {error}", file=sys.stderr)
            return 2

    return guard.guarded(run)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
