"""The chief has the tasks that answer call one another, and measures link after link."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence

from tfps.cluster.spec import ClusterSpec, Task
from tfps.doctor import calls, faults, links, measure
from tfps.doctor.faults import Fault
from tfps.doctor.links import Pair
from tfps.doctor.log import say
from tfps.doctor.observed import Link, Observed, Pull, Unreached

_SAY_EVERY_S = 5.0


def examine(observed: Observed, tasks: Sequence[Task], *, most_links: int) -> Observed:
    """Return what is known when the tasks have called one another and links are measured.

    Args:
        observed: What is known before.
        tasks: Those that can be called: the chief, which this process is, and who answers it.
        most_links: How many links to measure at most.
    """
    # A chief that cannot listen says so itself; that nobody reaches it adds nothing.
    listening = [task for task in tasks if not observed.answers[str(task)].facts.port_fault]
    unreached = _unreached(observed.spec, listening)
    broken = {(one.caller, one.called) for one in unreached}
    chosen, left_out = links.plan(tasks, most_links)
    ways = [way for pair in chosen for way in (pair, pair[::-1])]
    ways = [way for way in ways if way[1] in listening and way not in broken]
    return dataclasses.replace(
        observed,
        unreached=tuple(unreached),
        links=tuple(_measure(observed.spec, ways)),
        left_out=left_out,
    )


def _unreached(spec: ClusterSpec, tasks: Sequence[Task]) -> list[Unreached]:
    """Have the tasks call one another, all at the same time."""
    called = links.called_by(tasks)
    found = calls.at_once(lambda caller: _reach(spec, caller, called[caller]), called)
    return list(itertools.chain.from_iterable(found))


def _reach(spec: ClusterSpec, caller: Task, called: Sequence[Task]) -> list[Unreached]:
    try:
        found = calls.have_reach(spec, caller, called)
    except calls.FAILURES as error:  # It has answered before.
        chief = Task(type="chief", index=0)
        return [Unreached(caller=chief, called=caller, fault=faults.of_error(error))]
    return [
        Unreached(caller=caller, called=task, fault=fault)
        for task, fault in zip(called, found, strict=True)
        if fault is not None
    ]


def _measure(spec: ClusterSpec, ways: Sequence[Pair]) -> Iterator[Link]:
    """Measure one direction after the other, so that none takes another's bandwidth."""
    if ways:
        longest_s = len(ways) * measure.LIMIT_S
        say(f"measuring {len(ways)} directions of links, about {longest_s:.0f} s at most.")
    said = time.monotonic()
    for number, (receiver, sender) in enumerate(ways):
        if time.monotonic() - said >= _SAY_EVERY_S:
            said = time.monotonic()
            say(f"measured {number} of {len(ways)} directions of links.")
        here = receiver.type == "chief"
        found = calls.pull(spec, sender) if here else calls.have_pull(spec, receiver, sender)
        yield Link(
            receiver=receiver,
            sender=sender,
            pull=found if isinstance(found, Pull) else None,
            fault=found if isinstance(found, Fault) else None,
        )
