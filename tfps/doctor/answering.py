"""Answer at a task's port, whatever comes in there."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Self

from tfps.cluster import addresses
from tfps.doctor import machine
from tfps.doctor.protocol import Connection, Message, ProtocolError

Reply = Callable[[Connection, Message], None]
"""Answers one ask on its connection; an OSError or ProtocolError ends that."""

_MOST_STRANGERS = 64
_BACKLOG = 128
_PAUSE_S = 0.05


def listen(address: str) -> socket.socket:
    """Listen at the port of an address on all interfaces, as TensorFlow's servers do.

    Raises:
        OSError: The port cannot be had.
    """
    _, port = addresses.host_and_port(address)
    if socket.has_dualstack_ipv6():
        both = socket.AF_INET6
        return socket.create_server(("", port), family=both, backlog=_BACKLOG, dualstack_ipv6=True)
    return socket.create_server(("", port), backlog=_BACKLOG)


def port_fault(address: str, error: OSError) -> str:
    """Say why a task cannot listen at its address."""
    _, port = addresses.host_and_port(address)
    if error.errno == errno.EADDRINUSE:
        holder = machine.listener_of(port) or "another process"
        return f"{holder} has port {port}"
    return f"port {port} cannot be had: {error.strerror or error}"


class Answering:
    """Answers connections to a listening socket, each in a thread, until it is closed."""

    def __init__(
        self, listener: socket.socket, replies: Mapping[str, Reply], *, num_tasks: int
    ) -> None:
        """Begin to answer.

        Args:
            listener: The socket; it is closed with this.
            replies: What to do for each ask.
            num_tasks: How many tasks may call. With some strangers more the port has enough.
        """
        self._listener = listener
        self._replies = replies
        self._free = threading.Semaphore(2 * num_tasks + _MOST_STRANGERS)
        self._closed = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        # Closing a socket does not wake a thread that waits in accept(); shutting it down does.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                end, _ = self._listener.accept()
            except OSError:  # A caller that is gone again, or no room for one more.
                self._closed.wait(_PAUSE_S)
                continue
            if self._free.acquire(blocking=False):
                threading.Thread(target=self._answer, args=(end,), daemon=True).start()
            else:
                end.close()

    def _answer(self, end: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError, ProtocolError), Connection(end) as connection:
                while (message := connection.receive()) is not None:
                    reply = self._replies.get(str(message.get("ask")))
                    if reply is None:
                        return
                    reply(connection, message)
        finally:
            end.close()
            self._free.release()
