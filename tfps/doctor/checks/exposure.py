"""Check who can reach the tasks: not the whole internet, and not only their own host."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterator, Sequence

from tfps.cluster import addresses
from tfps.doctor.finding import Finding, Level, or_well
from tfps.doctor.observed import Observed
from tfps.doctor.wording import names


def public(observed: Observed, *, firewalled: bool) -> Sequence[Finding]:
    """Check that no task has a public address.

    TensorFlow's servers listen on all interfaces and do what anyone tells them.

    Args:
        observed: What is known of the job, or of this machine alone.
        firewalled: Whether the user vouches for a firewall around the job's hosts.
    """
    found = names(dict.fromkeys(_public(observed)))
    only = f"only the job's hosts reach {_ports(observed)}"
    if firewalled:
        level, to_do = Level.WARN, f"Nothing, as long as {only} (--firewalled)."
    else:
        level, to_do = (
            Level.RED,
            f"Move the tasks into a private network (VPC), or see to it that {only} (firewall, "
            "security group, NetworkPolicy) and then say --firewalled. TensorFlow's servers listen "
            "on all interfaces and have no password: who reaches one runs code there.",
        )
    says = f"public addresses: {found}"
    fault = Finding(check="exposure", level=level, says=says, to_do=to_do)
    return or_well([fault] if found else [], "exposure", "no public address")


def loopback(observed: Observed) -> Sequence[Finding]:
    """Check that no address leads a task to itself instead of to another host."""
    local = [task for task, address in observed.spec if _is_local(address)]
    networks = {facts.network_id for facts in observed.facts}
    elsewhere = len(local) < len(list(observed.spec))
    if not local or (len(networks) == 1 and not (observed.missing and elsewhere)):
        return []
    given = [f"{task} ({observed.spec.address(task)})" for task in local]
    return [
        Finding(
            check="loopback",
            level=Level.RED,
            says=f"addresses that lead every task to its own host: {names(given)}",
            to_do="Write in TF_CONFIG the address at which the other hosts reach the task.",
        )
    ]


def _public(observed: Observed) -> Iterator[str]:
    for facts in observed.facts:
        for ip in facts.ips:
            if _is_public(ip):
                yield f"{ip} of {facts.label}"
    for task, address in observed.spec:
        given = observed.answers.get(str(task))
        host, _ = addresses.host_and_port(address)
        for ip in (host, given.ip if given is not None else ""):
            if _is_public(ip):
                yield f"{ip} of {task}"


def _is_local(address: str) -> bool:
    host, _ = addresses.host_and_port(address)
    ip = _ip(host)
    # 0.0.0.0 leads home, too.
    return host == "localhost" or (ip is not None and (ip.is_loopback or ip.is_unspecified))


def _is_public(host: str) -> bool:
    ip = _ip(host)
    return ip is not None and ip.is_global


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    with contextlib.suppress(ValueError):  # A name, or nothing.
        return ipaddress.ip_address(host)
    return None


def _ports(observed: Observed) -> str:
    ports = sorted({addresses.host_and_port(address)[1] for _, address in observed.spec})
    return f"port {names(ports)}" if ports else "their ports"
