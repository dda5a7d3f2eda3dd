"""Network addresses of tasks: their form, free ports, and whether a process listens."""

from __future__ import annotations

import contextlib
import random
import re
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
LAST_PORT = 65_535

_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST_PORT = 10_000


def address_fault(address: object) -> str | None:
    """Return what is wrong with an address; None if it is a host and a port."""
    if not isinstance(address, str):
        return f"{address!r} is not text. Write it as 'host:port', e.g. '10.0.0.3:2222'."
    if "://" in address:
        bare = address.split("://", 1)[1]
        return f"{address!r} has a scheme. Write only host and port: {bare!r}."
    host, colon, port = address.rpartition(":")
    if not colon or address.endswith("]") or (":" in host and not _is_bracketed(host)):
        example = f"[{address}]:2222" if address.count(":") > 1 else f"{address}:2222"
        return f"{address!r} has no port. Write it as host:port, e.g. {example!r}."
    if not host or re.search(r"[\s/]", address):
        return f"{address!r} has no valid host name. Write it as host:port, e.g. '10.0.0.3:2222'."
    if not re.fullmatch(r"[0-9]+", port):
        return f"{address!r} has the port {port!r}, which is not a number from 1 to 65535."
    if not 1 <= int(port) <= LAST_PORT:
        return f"{address!r} has the port {port}, which is out of range. Choose one of 1 to 65535."
    return None


def _is_bracketed(host: str) -> bool:
    return host.startswith("[") and host.endswith("]")


def host_and_port(address: str) -> tuple[str, int]:
    """Split an address into its host (an IPv6 one without its brackets) and its port.

    Raises:
        ValueError: The address is not a host and a port.
    """
    fault = address_fault(address)
    if fault is not None:
        raise ValueError(f"Address {fault}")
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def accepts_connections(address: str, *, timeout_s: float = 1.0) -> bool:
    """Return whether a process listens at the address.

    A host name that does not resolve (yet) counts as not listening.
    """
    try:
        with socket.create_connection(host_and_port(address), timeout=timeout_s) as connection:
            # If the kernel happens to pick the requested port as the local one, the socket connects
            # to itself, and nobody listens.
            return bool(connection.getsockname() != connection.getpeername())
    except OSError:
        return False


def free_ports(n: int, *, host: str = LOOPBACK) -> tuple[int, ...]:
    """Return `n` different ports of this machine on which nothing listens.

    If possible, they lie outside the range from which the kernel picks local ports, so that no
    outgoing connection takes one before its task binds it.

    Raises:
        OSError: The machine has fewer than `n` free ports.
    """
    candidates = list(_ports_for_listening())
    random.SystemRandom().shuffle(candidates)
    ports: list[int] = []
    for port in candidates:
        if len(ports) == n:
            break
        if _can_bind(host, port):
            ports.append(port)
    if len(ports) < n:
        raise OSError(f"Found {len(ports)} free ports on {host}, but {n} are needed.")
    return tuple(ports)


def _ports_for_listening() -> range:
    first_ephemeral = 32_768
    with contextlib.suppress(OSError, ValueError, IndexError):
        first_ephemeral = int(_EPHEMERAL_RANGE.read_text().split()[0])
    if first_ephemeral - _FIRST_PORT < 1_000:
        return range(_FIRST_PORT, LAST_PORT + 1)
    return range(_FIRST_PORT, first_ephemeral)


def _can_bind(host: str, port: int) -> bool:
    # TensorFlow's server binds all interfaces, so a port taken on any of them is not free.
    for interface in (host, ""):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((interface, port))
            except OSError:
                return False
    return True
