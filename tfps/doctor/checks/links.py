"""Check how fast links answer and what they carry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from tfps.doctor.finding import Finding, Level, or_well
from tfps.doctor.observed import Link, Observed
from tfps.doctor.wording import joined, names, rate, short_time

SLOW_ROUND_TRIP_S = 0.010
SLOW_BYTES_PER_S = 100e6 / 8
FACTOR = 10
"""How much worse than its like a link is before that is worth a line."""

# Below, it is the delays of the processes that are measured.
_NOTABLE_ROUND_TRIP_S = 0.001
_FEWEST_TO_COMPARE = 3
_EXAMPLE_PARAMETERS = 10_000_000
SAME_MTU = (
    "Give all interfaces between the hosts, tunnels and bridges too, the same MTU, and let ICMP "
    "through."
)

_LATENCY = "latency"
_BANDWIDTH = "bandwidth"


def latency(observed: Observed) -> Sequence[Finding]:
    """Check the round trips, of which a step makes at least one to each ps."""
    times_s = {link: link.pull.round_trip_s for link in observed.links if link.pull is not None}
    slow = {link: time_s for link, time_s in times_s.items() if time_s > SLOW_ROUND_TRIP_S}
    odd = [
        link
        for link in _odd(observed, times_s)
        if link not in slow and times_s[link] > _NOTABLE_ROUND_TRIP_S
    ]
    found = [*_slow_answers(slow), *_odd_answers({link: times_s[link] for link in odd})]
    return or_well(found, _LATENCY, f"round trips of {_range(times_s.values(), short_time)}")


def bandwidth(observed: Observed) -> Sequence[Finding]:
    """Check the rates: parameters travel one way and gradients the other."""
    rates = {link: link.pull.bytes_per_s for link in observed.links if link.pull is not None}
    dead = [link for link, found in rates.items() if not found]
    rates = {link: found for link, found in rates.items() if found}
    slow = {link: found for link, found in rates.items() if found < SLOW_BYTES_PER_S}
    odd = [
        link
        for link in _odd(observed, {link: 1 / found for link, found in rates.items()})
        if link not in slow
    ]
    found = [*_unmeasured(observed.links), *_dead(dead), *_slow(slow)]
    found += _odd_rates({link: rates[link] for link in odd})
    return or_well(found, _BANDWIDTH, _range(rates.values(), rate))


def left_out(observed: Observed) -> Sequence[Finding]:
    """Say which links were not measured."""
    without = [f"{one} - {other}" for one, other in observed.left_out]
    says = f"too many to measure all (--max-links), left out: {names(without)}"
    return [Finding(check="links", level=Level.OK, says=says)] if without else []


def _odd(observed: Observed, costs: Mapping[Link, float]) -> list[Link]:
    """Return the links that cost far more than the middle one of their like."""
    alike: dict[tuple[object, ...], list[Link]] = {}
    for link in costs:
        alike.setdefault(_kind(observed, link), []).append(link)
    return [
        link
        for group in alike.values()
        if len(group) >= _FEWEST_TO_COMPARE
        for middle in [sorted(costs[link] for link in group)[(len(group) - 1) // 2]]
        for link in group
        if costs[link] > FACTOR * middle
    ]


def _kind(observed: Observed, link: Link) -> tuple[object, ...]:
    """Return what alike links share: their tasks' types, and whether these are on one host."""
    hosts = [observed.answers[str(task)].facts.host_id for task in (link.receiver, link.sender)]
    return frozenset((link.receiver.type, link.sender.type)), hosts[0] == hosts[1]


def _slow_answers(slow: Mapping[Link, float]) -> Iterator[Finding]:
    if slow:
        most = int(1 / max(slow.values()))
        yield Finding(
            check=_LATENCY,
            level=Level.WARN,
            says=f"round trips above {short_time(SLOW_ROUND_TRIP_S)}: {_each(slow, short_time)}",
            to_do="Put workers and ps into one zone, or let workers take several steps by "
            "themselves (update=tfps.update.Local). A step waits for each ps at least once: "
            f"at most {most} steps a second here.",
        )


def _odd_answers(odd: Mapping[Link, float]) -> Iterator[Finding]:
    if odd:
        yield Finding(
            check=_LATENCY,
            level=Level.WARN,
            says=f"round trips {FACTOR} times the usual: {_each(odd, short_time)}",
            to_do="See what is different there: another zone, a VPN, a busy host.",
        )


def _unmeasured(links: Iterable[Link]) -> Iterator[Finding]:
    parts = [f"{_name(link)}: {link.fault.detail}" for link in links if link.fault]
    if parts:
        yield Finding(
            check=_BANDWIDTH,
            level=Level.RED,
            says=f"broke off: {joined(parts)}",
            to_do="See in the log of these tasks whether they ended, and repeat tfps doctor.",
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
            'pull="auto", push="auto", update=tfps.update.Local. Each way, 10 million float32 '
            f"parameters take {longest_s:.1f} s here.",
        )


def _odd_rates(odd: Mapping[Link, float]) -> Iterator[Finding]:
    if odd:
        yield Finding(
            check=_BANDWIDTH,
            level=Level.WARN,
            says=f"below a tenth of the usual: {_each(odd, rate)}",
            to_do="See what is different there: a slow card, a VPN, a busy host. Workers behind "
            "it push late, and synchronous updates wait for them.",
        )


def _each(values: Mapping[Link, float], unit: Callable[[float], str]) -> str:
    """List links with their values, or name the task that all of them share."""
    shared = set.intersection(*({link.receiver, link.sender} for link in values))
    if len(values) >= _FEWEST_TO_COMPARE and len(shared) == 1:
        least, most = min(values.values()), max(values.values())
        return f"{len(values)} links, all of {shared.pop()}: {unit(least)} to {unit(most)}"
    return names(f"{_name(link)} {unit(value)}" for link, value in values.items())


def _name(link: Link) -> str:
    return f"{link.sender} to {link.receiver}"


def _range(values: Iterable[float], unit: Callable[[float], str]) -> str:
    ordered = sorted(values)
    if not ordered:
        return "none was measured"
    return f"{unit(ordered[0])} to {unit(ordered[-1])}, mostly {unit(ordered[len(ordered) // 2])}"
