"""Measure the link to a task: round trips, the clock at its other end, and what it carries."""

from __future__ import annotations

import dataclasses
import os
import socket
import statistics
import time
from collections.abc import Sequence

from tfps.doctor.observed import Clock, Pull
from tfps.doctor.protocol import Connection, Message, ProtocolError

LIMIT_S = 1.0
"""How long one direction of a link is measured at most."""
LIMIT_BYTES = 128 << 20
"""How much is sent in one direction of a link at most."""

_PINGS = 21
_CHUNK_BYTES = 1 << 18
# TCP begins slowly, and what shapes a link lets the first bytes pass.
_WARM_UP_BYTES = 1 << 20
_FIRST_BYTES_TIMEOUT_S = 5.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ping:
    """One message to a task and back.

    Attributes:
        round_trip_s: How long it took.
        offset_s: By how much the task's clock was ahead of this one if both ways took as long.
    """

    round_trip_s: float
    offset_s: float


def ping(connection: Connection, number: int = _PINGS) -> list[Ping]:
    """Send some small messages and wait for each answer.

    Raises:
        ProtocolError: What comes is no answer.
        OSError: The connection has broken off, or an answer does not come.
    """
    return [_ping_once(connection) for _ in range(number)]


def _ping_once(connection: Connection) -> Ping:
    sent_at, started = time.time(), time.perf_counter()
    there_s = connection.ask("ping").get("unix_s")
    round_trip_s = time.perf_counter() - started
    if not isinstance(there_s, float):
        raise ProtocolError(f"says that the time is {there_s!r}")
    return Ping(round_trip_s=round_trip_s, offset_s=there_s - (sent_at + round_trip_s / 2))


def round_trip_s(pings: Sequence[Ping]) -> float:
    """Return the median time of a message and its answer."""
    return statistics.median(one.round_trip_s for one in pings)


def clock(pings: Sequence[Ping]) -> Clock:
    """Return what the fastest ping says of the other clock, as NTP does it (RFC 5905)."""
    fastest = min(pings, key=lambda one: one.round_trip_s)
    return Clock(offset_s=fastest.offset_s, error_s=fastest.round_trip_s / 2)


def pull(connection: Connection) -> Pull:
    """Measure the link on which this process receives from the task at the other end.

    In a step, too, the task that wants a tensor calls the one that has it.

    Raises:
        ProtocolError: No doctor answers there.
        OSError: The connection has broken off.
    """
    pings = ping(connection)
    connection.send({"ask": "give"})
    return Pull(round_trip_s=round_trip_s(pings), bytes_per_s=_receive(connection.socket))


def tell_clock(connection: Connection, message: Message) -> None:
    """Answer `ping`: tell the time on this machine.

    Raises:
        OSError: The other side is gone.
    """
    del message
    connection.send({"unix_s": time.time()})


def give(connection: Connection, message: Message) -> None:
    """Answer `give`: send random bytes, which nothing on the way can compress.

    Raises:
        OSError: The other side has enough, or does not read.
    """
    del message
    chunk = os.urandom(_CHUNK_BYTES)
    connection.socket.settimeout(2 * LIMIT_S)
    deadline = time.monotonic() + LIMIT_S
    sent = 0
    while sent < LIMIT_BYTES and time.monotonic() < deadline:
        connection.socket.sendall(chunk)
        sent += len(chunk)
    connection.socket.shutdown(socket.SHUT_WR)


def _receive(giver: socket.socket) -> float:
    """Return the bytes per second that arrive, where it can without what arrives first."""
    buffer = bytearray(_CHUNK_BYTES)
    giver.settimeout(_FIRST_BYTES_TIMEOUT_S)
    started = time.perf_counter()
    try:
        counted = giver.recv_into(buffer)
    except TimeoutError:
        return 0.0
    if not counted:
        raise ProtocolError("gives nothing")
    deadline, warm = time.perf_counter() + LIMIT_S, False
    while (left_s := deadline - time.perf_counter()) > 0:
        if not warm and counted >= _WARM_UP_BYTES and left_s > LIMIT_S / 2:
            counted, warm, started = 0, True, time.perf_counter()
        giver.settimeout(left_s)
        try:
            size = giver.recv_into(buffer)
        except TimeoutError:
            break
        if not size:
            break
        counted += size
    return counted / (time.perf_counter() - started)
