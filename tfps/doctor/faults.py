"""Why one task does not reach another."""

from __future__ import annotations

import dataclasses
import enum
import errno
import socket


class Kind(enum.StrEnum):
    """How it failed; what there is to do depends on it."""

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
class Fault:
    """Why one task does not reach another.

    Attributes:
        kind: How it failed.
        detail: The same in words.
    """

    kind: Kind
    detail: str


def of_error(error: Exception) -> Fault:
    """Return the fault that an error of a connection, or of its messages, stands for."""
    if isinstance(error, socket.gaierror):
        return Fault(kind=Kind.UNRESOLVED, detail="the name does not resolve")
    if isinstance(error, ConnectionRefusedError):
        return Fault(kind=Kind.REFUSED, detail="connection refused")
    if isinstance(error, TimeoutError):
        return Fault(kind=Kind.SILENT, detail="no answer")
    if isinstance(error, OSError) and error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return Fault(kind=Kind.UNROUTED, detail="no route")
    if isinstance(error, OSError):
        return Fault(kind=Kind.OTHER, detail=error.strerror or str(error))
    return Fault(kind=Kind.STRANGER, detail=f"no tfps doctor answers there: it {error}")
