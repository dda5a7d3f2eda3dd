"""Bytes on the wire, as Linux counts them: of the loopback device, and of each process.

Nothing here needs root. The counters of processes are those of their TCP connections; iproute2's
`ss` reads them, for the processes of its own user.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence

import psutil

_PROCESS = re.compile(r"pid=(\d+)")
_RECEIVED = re.compile(r"\bbytes_received:(\d+)")
# Not bytes_sent, which counts what was sent again as well.
_ACKED = re.compile(r"\bbytes_acked:(\d+)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Socket:
    """A TCP socket of a process.

    Attributes:
        listens: Whether it waits for connections, and is none itself.
        port: Its own port.
        pid: The process.
        received_bytes: What arrived, without headers.
        sent_bytes: What the other side has acknowledged, without headers.
    """

    listens: bool
    port: int
    pid: int
    received_bytes: int
    sent_bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Traffic:
    """Bytes that a process received and sent over all its TCP connections."""

    received_bytes: int
    sent_bytes: int

    def since(self, before: Traffic) -> Traffic:
        """Return the traffic since `before`."""
        return Traffic(
            received_bytes=self.received_bytes - before.received_bytes,
            sent_bytes=self.sent_bytes - before.sent_bytes,
        )


def loopback_bytes() -> int:
    """Return the bytes that crossed the loopback device since boot, headers included, once each.

    Everything on this machine that talks to itself is counted.
    """
    sent: int = psutil.net_io_counters(pernic=True)["lo"].bytes_sent
    return sent


def sockets() -> list[Socket]:
    """Return the TCP sockets of this user's processes.

    Raises:
        FileNotFoundError: `ss` is not installed.
    """
    if shutil.which("ss") is None:
        raise FileNotFoundError("The command 'ss' was not found. Install the package iproute2.")
    listing = subprocess.run(
        ["ss", "--tcp", "--all", "--info", "--numeric", "--processes", "--oneline", "--no-header"],
        check=True,
        capture_output=True,
        text=True,
    )
    return parse(listing.stdout)


def parse(listing: str) -> list[Socket]:
    """Read what `ss` lists, one socket per line; those of unknown processes are left out."""
    found = []
    for line in listing.splitlines():
        process = _PROCESS.search(line)
        if process is not None:
            state, _, _, local, *_ = line.split()
            found.append(
                Socket(
                    listens=state == "LISTEN",
                    port=int(local.rpartition(":")[2]),
                    pid=int(process[1]),
                    received_bytes=_number(_RECEIVED, line),
                    sent_bytes=_number(_ACKED, line),
                )
            )
    return found


def listeners(addresses: Iterable[str], found: Sequence[Socket]) -> list[int]:
    """Return the process that listens at each address of this machine, `host:port`.

    Raises:
        LookupError: Nothing of this user listens at one of them.
    """
    by_port = {socket.port: socket.pid for socket in found if socket.listens}
    pids = []
    for address in addresses:
        pid = by_port.get(int(address.rpartition(":")[2]))
        if pid is None:
            raise LookupError(
                f"No process of this user listens at {address}; those that do listen at ports "
                f"{sorted(by_port)}. Run the whole cluster on this machine as one user."
            )
        pids.append(pid)
    return pids


def of_processes(pids: Iterable[int], found: Sequence[Socket]) -> list[Traffic]:
    """Return the traffic of each process, over the connections that it has now."""
    return [
        Traffic(
            received_bytes=sum(s.received_bytes for s in found if s.pid == pid),
            sent_bytes=sum(s.sent_bytes for s in found if s.pid == pid),
        )
        for pid in pids
    ]


def _number(pattern: re.Pattern[str], line: str) -> int:
    match = pattern.search(line)
    return int(match[1]) if match else 0
