"""Measure the link to a task: round trips, its clock's offset, and its bandwidth.

Both sides of a measurement are here: what measures, and what answers.
"""

from __future__ import annotations

import dataclasses
import os
import socket
import statistics
import time
from collections.abc import Sequence

from tfps.doctor.observations import ClockOffset, LinkSpeed
from tfps.doctor.protocol import Connection, Message, ProtocolError

LIMIT_S = 1.0
"""The longest time for which one direction of a link is measured."""
LIMIT_BYTES = 128 << 20
"""The most data that is sent in one direction of a link."""

_PINGS = 21
_CHUNK_BYTES = 1 << 18
# TCP starts slowly, and traffic shapers let the first bytes pass.
_WARM_UP_BYTES = 1 << 20
_FIRST_BYTES_TIMEOUT_S = 5.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ping:
    """One message to a task and its answer.

    Attributes:
        round_trip_s: How long both took.
        offset_s: How far the task's clock is ahead of this one, if both took equally long.
    """

    round_trip_s: float
    offset_s: float


def ping(connection: Connection, number: int = _PINGS) -> list[Ping]:
    """Send some small messages, one after another, and return how each was answered.

    Raises:
        ProtocolError: An answer has the wrong form.
        OSError: The connection is lost, or an answer does not arrive.
    """
    return [_ping_once(connection) for _ in range(number)]


def _ping_once(connection: Connection) -> Ping:
    sent_at, started = time.time(), time.perf_counter()
    remote_time_s = connection.ask("ping").get("unix_s")
    round_trip_s = time.perf_counter() - started
    if not isinstance(remote_time_s, float):
        raise ProtocolError(f"says that the time is {remote_time_s!r}")
    return Ping(round_trip_s=round_trip_s, offset_s=remote_time_s - (sent_at + round_trip_s / 2))


def round_trip_s(pings: Sequence[Ping]) -> float:
    """Return the median round trip."""
    return statistics.median(ping.round_trip_s for ping in pings)


def clock_offset(pings: Sequence[Ping]) -> ClockOffset:
    """Return the clock offset that the fastest ping gives, as in NTP (RFC 5905)."""
    fastest = min(pings, key=lambda ping: ping.round_trip_s)
    return ClockOffset(offset_s=fastest.offset_s, error_s=fastest.round_trip_s / 2)


def pull(connection: Connection) -> LinkSpeed:
    """Measure the link on which this process receives from the task at the other end.

    The receiver makes the call, as in a training step.

    Raises:
        ProtocolError: No doctor answers there.
        OSError: The connection is lost.
    """
    pings = ping(connection)
    connection.send({"ask": "give"})
    return LinkSpeed(round_trip_s=round_trip_s(pings), bytes_per_s=_receive(connection.socket))


def tell_clock(connection: Connection, message: Message) -> None:
    """Answer `ping` with the time on this machine.

    Raises:
        OSError: The other side is gone.
    """
    del message
    connection.send({"unix_s": time.time()})


def give(connection: Connection, message: Message) -> None:
    """Answer `give` with random bytes, which nothing on the way can compress.

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
    """Return the bytes per second that arrive; the warm-up is left out if time allows."""
    buffer = bytearray(_CHUNK_BYTES)
    giver.settimeout(_FIRST_BYTES_TIMEOUT_S)
    started = time.perf_counter()
    try:
        received = giver.recv_into(buffer)
    except TimeoutError:
        return 0.0
    if not received:
        raise ProtocolError("gives nothing")
    deadline, warm = time.perf_counter() + LIMIT_S, False
    while (remaining_s := deadline - time.perf_counter()) > 0:
        if not warm and received >= _WARM_UP_BYTES and remaining_s > LIMIT_S / 2:
            received, warm, started = 0, True, time.perf_counter()
        giver.settimeout(remaining_s)
        try:
            size = giver.recv_into(buffer)
        except TimeoutError:
            break
        if not size:
            break
        received += size
    return received / (time.perf_counter() - started)
