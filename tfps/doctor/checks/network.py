"""Check the network: how fast links answer, what they carry, and who can reach the tasks."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from tfps.cluster import addresses
from tfps.doctor.findings import Finding, Level, joined, milliseconds, names, problems_or_ok, rate
from tfps.doctor.observations import JobObservations, Link

SLOW_ROUND_TRIP_S = 0.010
SLOW_BYTES_PER_S = 100e6 / 8
FACTOR = 10
"""A link is reported if it is this many times slower than similar links."""

# Shorter round trips mostly measure the delays of the processes.
_NOTABLE_ROUND_TRIP_S = 0.001
_FEWEST_TO_COMPARE = 3
_EXAMPLE_PARAMETERS = 10_000_000
SAME_MTU = (
    "Give all interfaces between the hosts, tunnels and bridges too, the same MTU, and let ICMP "
    "through."
)

_LATENCY = "latency"
_BANDWIDTH = "bandwidth"


def latency(job: JobObservations) -> Sequence[Finding]:
    """Check the round trips. A step makes at least one to each ps."""
    times_s = {link: link.speed.round_trip_s for link in job.links if link.speed is not None}
    slow = {link: time_s for link, time_s in times_s.items() if time_s > SLOW_ROUND_TRIP_S}
    odd = [
        link
        for link in _odd(job, times_s)
        if link not in slow and times_s[link] > _NOTABLE_ROUND_TRIP_S
    ]
    problems = [*_slow_answers(slow), *_odd_answers({link: times_s[link] for link in odd})]
    return problems_or_ok(
        problems, _LATENCY, f"round trips of {_range(times_s.values(), milliseconds)}"
    )


def bandwidth(job: JobObservations) -> Sequence[Finding]:
    """Check the rates: parameters travel one way and gradients the other."""
    rates = {link: link.speed.bytes_per_s for link in job.links if link.speed is not None}
    dead = [link for link, bytes_per_s in rates.items() if not bytes_per_s]
    rates = {link: bytes_per_s for link, bytes_per_s in rates.items() if bytes_per_s}
    slow = {link: value for link, value in rates.items() if value < SLOW_BYTES_PER_S}
    odd = [
        link
        for link in _odd(job, {link: 1 / bytes_per_s for link, bytes_per_s in rates.items()})
        if link not in slow
    ]
    problems = [*_unmeasured(job.links), *_dead(dead), *_slow(slow)]
    problems += _odd_rates({link: rates[link] for link in odd})
    return problems_or_ok(problems, _BANDWIDTH, _range(rates.values(), rate))


def left_out(job: JobObservations) -> Sequence[Finding]:
    """Say which links were not measured."""
    omitted = [f"{one} - {other}" for one, other in job.left_out]
    says = f"too many to measure all (--max-links), left out: {names(omitted)}"
    return [Finding(check="links", level=Level.OK, says=says)] if omitted else []


def _odd(job: JobObservations, costs: Mapping[Link, float]) -> list[Link]:
    """Return the links that cost far more than the median of similar links."""
    groups: dict[tuple[object, ...], list[Link]] = {}
    for link in costs:
        groups.setdefault(_group(job, link), []).append(link)
    return [
        link
        for group in groups.values()
        if len(group) >= _FEWEST_TO_COMPARE
        for median in [sorted(costs[link] for link in group)[(len(group) - 1) // 2]]
        for link in group
        if costs[link] > FACTOR * median
    ]


def _group(job: JobObservations, link: Link) -> tuple[object, ...]:
    """Return what similar links share: their tasks' types, and whether these share a host."""
    hosts = [job.answers[str(task)].facts.host_id for task in (link.receiver, link.sender)]
    return frozenset((link.receiver.type, link.sender.type)), hosts[0] == hosts[1]


def _slow_answers(slow: Mapping[Link, float]) -> Iterator[Finding]:
    if slow:
        most_steps = int(1 / max(slow.values()))
        yield Finding(
            check=_LATENCY,
            level=Level.WARN,
            says=f"round trips above {milliseconds(SLOW_ROUND_TRIP_S)}: "
            f"{_each(slow, milliseconds)}",
            to_do="Put workers and ps into one zone, or let workers take several steps by "
            "themselves (update=tfps.update.Local). A step waits for each ps at least once: "
            f"at most {most_steps} steps a second here.",
        )


def _odd_answers(odd: Mapping[Link, float]) -> Iterator[Finding]:
    if odd:
        yield Finding(
            check=_LATENCY,
            level=Level.WARN,
            says=f"round trips {FACTOR} times the usual: {_each(odd, milliseconds)}",
            to_do="Find out what is different there: another zone, a VPN, a busy host.",
        )


def _unmeasured(links: Iterable[Link]) -> Iterator[Finding]:
    parts = [f"{_name(link)}: {link.failure.detail}" for link in links if link.failure]
    if parts:
        yield Finding(
            check=_BANDWIDTH,
            level=Level.RED,
            says=f"broke off: {joined(parts)}",
            to_do="Look in the logs of these tasks whether they ended, and run tfps doctor again.",
        )


def _dead(links: Sequence[Link]) -> Iterator[Finding]:
    if links:
        yield Finding(
            check=_BANDWIDTH,
            level=Level.RED,
            says=f"only small messages get through: {names(map(_name, links))}",
            to_do=SAME_MTU,
        )


def _slow(slow: Mapping[Link, float]) -> Iterator[Finding]:
    if slow:
        longest_s = 4 * _EXAMPLE_PARAMETERS / min(slow.values())
        yield Finding(
            check=_BANDWIDTH,
            level=Level.WARN,
            says=f"below {rate(SLOW_BYTES_PER_S)}: {_each(slow, rate)}",
            to_do="Look for a slow card, a VPN, or the limit of a machine type. Or send less: "
            "pull=tfps.wire.Auto(), push=tfps.wire.Auto(), update=tfps.update.Local. Each way, "
            f"10 million float32 parameters take {longest_s:.1f} s here.",
        )


def _odd_rates(odd: Mapping[Link, float]) -> Iterator[Finding]:
    if odd:
        yield Finding(
            check=_BANDWIDTH,
            level=Level.WARN,
            says=f"below a tenth of the usual: {_each(odd, rate)}",
            to_do="Find out what is different there: a slow card, a VPN, a busy host. Workers "
            "behind it push late, and synchronous updates wait for them.",
        )


def _each(values: Mapping[Link, float], unit: Callable[[float], str]) -> str:
    """Return a list of links with their values or, if all links share a task, that task's name."""
    shared = set.intersection(*({link.receiver, link.sender} for link in values))
    if len(values) >= _FEWEST_TO_COMPARE and len(shared) == 1:
        lowest, highest = min(values.values()), max(values.values())
        return f"{len(values)} links, all of {shared.pop()}: {unit(lowest)} to {unit(highest)}"
    return names(f"{_name(link)} {unit(value)}" for link, value in values.items())


def _name(link: Link) -> str:
    return f"{link.sender} to {link.receiver}"


def _range(values: Iterable[float], unit: Callable[[float], str]) -> str:
    ordered = sorted(values)
    if not ordered:
        return "none was measured"
    return f"{unit(ordered[0])} to {unit(ordered[-1])}, mostly {unit(ordered[len(ordered) // 2])}"


def public_addresses(job: JobObservations, *, firewalled: bool) -> Sequence[Finding]:
    """Check that no task has a public address.

    TensorFlow's servers listen on all interfaces and have no authentication.

    Args:
        job: What is known of the job, or of this machine alone.
        firewalled: Whether the user vouches for a firewall around the job's hosts.
    """
    listed = names(dict.fromkeys(_public_ips(job)))
    only = f"only the job's hosts reach {_ports(job)}"
    if firewalled:
        level, to_do = Level.WARN, f"Nothing, as long as {only} (--firewalled)."
    else:
        level, to_do = (
            Level.RED,
            f"Move the tasks into a private network (VPC), or make sure that {only} (firewall, "
            "security group, NetworkPolicy) and then say --firewalled. TensorFlow's servers listen "
            "on all interfaces and have no password: anyone who reaches one can run code there.",
        )
    says = f"public addresses: {listed}"
    problem = Finding(check="exposure", level=level, says=says, to_do=to_do)
    return problems_or_ok([problem] if listed else [], "exposure", "no public address")


def loopback(job: JobObservations) -> Sequence[Finding]:
    """Check that no address makes a task connect to itself instead of to another host."""
    local = [task for task, address in job.spec if _is_local(address)]
    networks = {facts.network_id for facts in job.facts}
    elsewhere = len(local) < len(list(job.spec))
    if not local or (len(networks) == 1 and not (job.missing and elsewhere)):
        return []
    parts = [f"{task} ({job.spec.address(task)})" for task in local]
    return [
        Finding(
            check="loopback",
            level=Level.RED,
            says=f"addresses that lead every task to its own host: {names(parts)}",
            to_do="Write in TF_CONFIG the address at which the other hosts reach the task.",
        )
    ]


def _public_ips(job: JobObservations) -> Iterator[str]:
    for facts in job.facts:
        for ip in facts.ips:
            if _is_public(ip):
                yield f"{ip} of {facts.label}"
    for task, address in job.spec:
        answer = job.answers.get(str(task))
        host, _ = addresses.host_and_port(address)
        for ip in (host, answer.ip if answer is not None else ""):
            if _is_public(ip):
                yield f"{ip} of {task}"


def _is_local(address: str) -> bool:
    host, _ = addresses.host_and_port(address)
    ip = _ip(host)
    # 0.0.0.0 connects to this host as well.
    return host == "localhost" or (ip is not None and (ip.is_loopback or ip.is_unspecified))


def _is_public(host: str) -> bool:
    ip = _ip(host)
    return ip is not None and ip.is_global


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    with contextlib.suppress(ValueError):  # A name, or empty.
        return ipaddress.ip_address(host)
    return None


def _ports(job: JobObservations) -> str:
    ports = sorted({addresses.host_and_port(address)[1] for _, address in job.spec})
    return f"port {names(ports)}" if ports else "their ports"
