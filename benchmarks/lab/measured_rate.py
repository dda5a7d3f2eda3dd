"""Measures the rate of a link by a TCP connection between two tasks' namespaces."""

from __future__ import annotations

import dataclasses
import socket
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.lab.network import Link

_PORT = 5001
_CHUNK_BYTES = 1 << 16
_TIMEOUT_S = 10.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Carried:
    """Mbit/s that arrived, headers not counted.

    Attributes:
        there: From the first task to the second, alone.
        back: From the second to the first, alone.
        both: Of the slower direction, with both at once on one connection.
    """

    there: float
    back: float
    both: float


def measure(first: Link, second: Link, *, duration_s: float = 1.0) -> Carried:
    """Send bytes between two tasks for some seconds each way, then both ways at once."""
    with _Connection(first, second) as pair:
        there = pair.exchange(duration_s, there=True)
    with _Connection(first, second) as pair:
        back = pair.exchange(duration_s, back=True)
    with _Connection(first, second) as pair:
        both = pair.exchange(duration_s, there=True, back=True)
    return Carried(there=there[0], back=back[0], both=min(both))


class _Connection:
    """A connection between two tasks; a socket stays in the namespace that it was made in."""

    def __init__(self, first: Link, second: Link) -> None:
        at = (second.address, _PORT)
        with second.namespace.submit(socket.create_server, at).result() as listener:
            connecting = first.namespace.submit(socket.create_connection, at, _TIMEOUT_S)
            listener.settimeout(_TIMEOUT_S)
            accepted, _ = listener.accept()
            self._ends = (connecting.result(), accepted)
        for end in self._ends:
            end.settimeout(_TIMEOUT_S)

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *_: object) -> None:
        for end in self._ends:
            end.close()

    def exchange(
        self, duration_s: float, *, there: bool = False, back: bool = False
    ) -> list[float]:
        """Return Mbit/s of each direction that is asked for."""
        first, second = self._ends
        ways = [(first, second)] * there + [(second, first)] * back
        with ThreadPoolExecutor(2 * len(ways)) as threads:
            received = [threads.submit(_receive, receiver) for _, receiver in ways]
            for sender, _ in ways:
                threads.submit(_send, sender, duration_s)
            return [one.result() for one in received]


def _send(end: socket.socket, duration_s: float) -> None:
    chunk = bytes(_CHUNK_BYTES)
    deadline = time.perf_counter() + duration_s
    while time.perf_counter() < deadline:
        end.sendall(chunk)
    end.shutdown(socket.SHUT_WR)


def _receive(end: socket.socket) -> float:
    """Return Mbit/s, measured from the first bytes on."""
    buffer = bytearray(1 << 20)
    end.recv_into(buffer)  # What came at once out of the full bucket.
    total = 0
    started = ended = time.perf_counter()
    while size := end.recv_into(buffer):
        total += size
        ended = time.perf_counter()
    return 8e-6 * total / (ended - started) if total else 0.0
