"""The messages of `tfps doctor`, and the connections that carry them.

A message is four bytes, the length of its content (big-endian), followed by a JSON object in UTF-8
of at most 1 MiB. Each has the key `doctor`, the version of this protocol. One side of a connection
sends any number of requests, with the key `ask`, and the other side answers each with a message:

| ask | with | answer |
| --- | --- | --- |
| `facts` | | `facts`: what the task says of itself (`TaskFacts`) |
| `ping` | | `unix_s`: the time on its clock |
| `give` | | no message but random bytes (`measure.LIMIT_BYTES` or `LIMIT_S`); no more requests |
| `reach` | `tasks` | `faults`: for each of the tasks a `CallFailure`, or null |
| `pull` | `task` | `pull`: the speed of the link from that task (`LinkSpeed`), or `fault` |
| `report` | `facts` | sent to the chief only: `noted` and, when the check is over, `end` |
| `end` | | `end`: the task's process ends |

A task that is asked to reach or pull from another takes the other's address from its own TF_CONFIG,
so nobody can direct it to another address. Anything else that arrives closes the connection.
"""

from __future__ import annotations

import json
import socket
import struct
import textwrap
import time
from collections.abc import Mapping
from typing import Any, Self, TypeVar

from tfps.cluster import addresses
from tfps.structure import structure

VERSION = 1
LARGEST_MESSAGE_BYTES = 1 << 20
DIAL_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 5.0

Message = Mapping[str, Any]
T = TypeVar("T")

_LENGTH = struct.Struct(">I")
_LONGEST_FAULT = 300
_KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}


class ProtocolError(ValueError):
    """What arrived is not a message of this protocol; the text continues "it"."""


class NoAnswerError(ProtocolError):
    """No answer arrived in time."""


class Connection:
    """A connection that carries messages; used as a context manager, it closes itself."""

    def __init__(self, end: socket.socket) -> None:
        """Wrap one end of a TCP connection."""
        self.socket = end
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # While waiting for a late answer, this shows whether the other machine is still there.
        end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE.items():
            if hasattr(socket, option):
                end.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)

    @classmethod
    def dial(cls, address: str, *, timeout_s: float = DIAL_TIMEOUT_S) -> Self:
        """Connect to an address.

        Raises:
            OSError: The name does not resolve, nobody listens there, or no answer arrives.
        """
        try:
            end = socket.create_connection(addresses.host_and_port(address), timeout=timeout_s)
        except UnicodeError as error:  # A label of the name is empty or too long for DNS.
            raise socket.gaierror(socket.EAI_NONAME, str(error)) from error
        if end.getsockname() == end.getpeername():  # The kernel connected the port to itself.
            end.close()
            raise ConnectionRefusedError("nobody listens there")
        return cls(end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, message: Message, *, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        """Send a message.

        Raises:
            OSError: The connection is lost, or the other side does not read.
        """
        content = json.dumps({"doctor": VERSION, **message}).encode()
        self.socket.settimeout(timeout_s)
        self.socket.sendall(_LENGTH.pack(len(content)) + content)

    def receive(self, *, timeout_s: float | None = ANSWER_TIMEOUT_S) -> Message | None:
        """Return the next message; None if the other side has closed the connection.

        Args:
            timeout_s: Time limit for the whole message; None waits without a limit.

        Raises:
            ProtocolError: What arrived is not a message.
            OSError: The connection is lost, or no message arrived in time.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        length_bytes = self._receive_bytes(_LENGTH.size, deadline)
        if not length_bytes:
            return None
        (length,) = _LENGTH.unpack(length_bytes)
        if length > LARGEST_MESSAGE_BYTES:
            raise ProtocolError(f"sends {length_bytes!r}, which begins no message")
        return parse(self._receive_bytes(length, deadline))

    def ask(
        self, name: str, *, timeout_s: float | None = ANSWER_TIMEOUT_S, **details: object
    ) -> Message:
        """Send a request and return the answer.

        Raises:
            NoAnswerError: No answer arrived in time.
            ProtocolError: The answer is not a message.
            OSError: The connection is lost.
        """
        self.send({"ask": name, **details})
        try:
            answer = self.receive(timeout_s=timeout_s)
        except TimeoutError as error:
            raise NoAnswerError(f"leaves {name!r} without an answer") from error
        if answer is None:
            raise ProtocolError(f"closes the connection at {name!r}")
        return answer

    def _receive_bytes(self, length: int, deadline: float | None) -> bytes:
        """Return `length` bytes; none if the other side closed the connection before the first."""
        content = bytearray()
        while len(content) < length:
            self.socket.settimeout(_remaining_s(deadline))
            piece = self.socket.recv(length - len(content))
            if not piece and content:
                raise ProtocolError(f"ends after {len(content)} of {length} bytes")
            if not piece:
                return b""
            content += piece
        return bytes(content)


def parse(content: bytes) -> Message:
    """Parse the content of a message.

    Raises:
        ProtocolError: It is not a message of this version.
    """
    try:
        message = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("sends no JSON") from error
    if not isinstance(message, dict):
        raise ProtocolError("sends no object")
    if message.get("doctor") != VERSION:
        raise ProtocolError(
            f"speaks protocol {message.get('doctor')!r} instead of {VERSION}, that of this tfps"
        )
    return message


def read(kind: type[T], content: object) -> T:
    """Return an object of a type, built from part of a message; unknown keys are ignored.

    Raises:
        ProtocolError: The content has faults: something is missing, or has another type.
    """
    value, faults = structure(content, kind, ignore_unknown=True)
    if faults:
        # Any stranger can send a message, of any length.
        message = textwrap.shorten("; ".join(map(str, faults)), _LONGEST_FAULT)
        raise ProtocolError(f"sends no {kind.__name__}: {message}")
    return value


def _remaining_s(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    remaining_s = deadline - time.monotonic()
    if remaining_s <= 0:
        raise TimeoutError("no whole message came in time")
    return remaining_s
