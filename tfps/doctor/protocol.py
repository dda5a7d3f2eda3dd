"""The messages of `tfps doctor`.

A message is four bytes, the length of what follows with the highest first, and a JSON object in
UTF-8 of at most a mebibyte. Each has the key `doctor`, the number of this protocol. One side of a
connection asks, with the key `ask`, as often as it likes, and the other answers with a message:

| ask | with | answer |
| --- | --- | --- |
| `facts` | | `facts`: what the task says of itself (`facts.Facts`) |
| `ping` | | `unix_s`: the time on its clock |
| `give` | | no message, but random bytes (`measure.LIMIT_BYTES` or `LIMIT_S`), and no more asks |
| `reach` | `tasks` | `faults`: for each of the tasks a `faults.Fault`, or null |
| `pull` | `task` | `pull`: what it measured of the link from it (`observed.Pull`), or `fault` |
| `report` | `facts` | only from a chief: `noted`, and another message, `end`, when all is done |
| `end` | | `end`: the task's process ends |

Who is asked to reach or pull from a task takes the task's address from its own TF_CONFIG, so nobody
can send it elsewhere. Whatever else comes in closes the connection.
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
    """What came is no message of this protocol; the text continues "it"."""


class NoAnswerError(ProtocolError):
    """No answer came in time."""


class Connection:
    """A connection that carries messages; as a context manager it closes itself."""

    def __init__(self, end: socket.socket) -> None:
        """Wrap one end of a TCP connection."""
        self.socket = end
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Who waits for an answer for long learns so that the other machine is gone.
        end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE.items():
            if hasattr(socket, option):
                end.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)

    @classmethod
    def dial(cls, address: str, *, timeout_s: float = DIAL_TIMEOUT_S) -> Self:
        """Connect to an address.

        Raises:
            OSError: The name does not resolve, or nobody listens there, or no answer comes.
        """
        try:
            end = socket.create_connection(addresses.host_and_port(address), timeout=timeout_s)
        except UnicodeError as error:  # A part of the name is empty or too long for DNS.
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
            OSError: The connection has broken off, or the other side does not read.
        """
        content = json.dumps({"doctor": VERSION, **message}).encode()
        self.socket.settimeout(timeout_s)
        self.socket.sendall(_LENGTH.pack(len(content)) + content)

    def receive(self, *, timeout_s: float | None = ANSWER_TIMEOUT_S) -> Message | None:
        """Return the next message; None when the other side has closed the connection.

        Args:
            timeout_s: For the whole message, however slowly it comes; None waits until it comes.

        Raises:
            ProtocolError: What came is no message.
            OSError: The connection has broken off, or no message came in time.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        head = self._receive_bytes(_LENGTH.size, deadline)
        if not head:
            return None
        (length,) = _LENGTH.unpack(head)
        if length > LARGEST_MESSAGE_BYTES:
            raise ProtocolError(f"sends {head!r}, which begins no message")
        return parse(self._receive_bytes(length, deadline))

    def ask(
        self, name: str, *, timeout_s: float | None = ANSWER_TIMEOUT_S, **details: object
    ) -> Message:
        """Ask, and return the answer.

        Raises:
            NoAnswerError: No answer came in time.
            ProtocolError: What came is none.
            OSError: The connection has broken off.
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
        """Return so many bytes; none when the other side closed the connection before the first."""
        content = bytearray()
        while len(content) < length:
            self.socket.settimeout(_left_s(deadline))
            piece = self.socket.recv(length - len(content))
            if not piece and content:
                raise ProtocolError(f"ends after {len(content)} of {length} bytes")
            if not piece:
                return b""
            content += piece
        return bytes(content)


def parse(content: bytes) -> Message:
    """Read a message without its length.

    Raises:
        ProtocolError: It is none.
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


def _left_s(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("no whole message came in time")
    return left_s
