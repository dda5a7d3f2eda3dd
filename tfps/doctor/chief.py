"""What the chief does: wait for the tasks, have them call one another, measure links, end them."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import socket
import time
from collections.abc import Iterator, Mapping, Sequence

from tfps.cluster.spec import ClusterSpec, Task
from tfps.cluster.tf_config import TFConfig
from tfps.doctor import arrivals, calls, measure
from tfps.doctor.observations import (
    CallFailure,
    JobObservations,
    Link,
    LinkSpeed,
    TaskAnswer,
    TaskFacts,
    Unreached,
)
from tfps.log import say

Pair = tuple[Task, Task]

_SAY_EVERY_S = 5.0


def observe_job(
    config: TFConfig,
    facts: TaskFacts,
    listener: socket.socket | None,
    *,
    timeout_s: float,
    most_links: int,
) -> JobObservations:
    """Return all that can be found out about the job, and tell the other tasks to end.

    Args:
        config: The cluster; this process is its chief.
        facts: What the chief says of itself.
        listener: Listens at the chief's address; None if the port is not available.
        timeout_s: How long to wait for tasks.
        most_links: The largest number of links to measure.
    """
    registrations = arrivals.Registrations()
    spec, chief = config.cluster, config.task
    others = [task for task, _ in spec if task != chief]
    answers = {chief: TaskAnswer(facts=facts)}
    replies = {"ping": measure.tell_clock, "give": measure.give, "report": registrations.answer}
    with contextlib.ExitStack() as stack:
        if listener is not None:
            stack.enter_context(calls.Answering(listener, replies, num_tasks=len(others)))
        try:
            results = arrivals.wait(spec, others, registrations, timeout_s=timeout_s)
            answers |= {
                task: result for task, result in results.items() if isinstance(result, TaskAnswer)
            }
            missing = {
                task: result for task, result in results.items() if isinstance(result, CallFailure)
            }
            registered = {
                task: TaskAnswer(facts=registration.facts)
                for task in missing
                if (registration := registrations.of(task))
            }
            known = JobObservations(
                spec=spec, answers=_by_label(spec, answers | registered), missing=missing
            )
            return _with_links(known, list(answers), most_links=most_links)
        finally:
            # A task that cannot call the chief learns of the end in no other way.
            calls.at_once(lambda task: calls.tell_end(spec, task), answers.keys() - {chief})
            registrations.end()


def _by_label(spec: ClusterSpec, answers: Mapping[Task, TaskAnswer]) -> dict[str, TaskAnswer]:
    return {str(task): answers[task] for task, _ in spec if task in answers}


def _with_links(
    known: JobObservations, tasks: Sequence[Task], *, most_links: int
) -> JobObservations:
    """Have the tasks call one another, measure the links, and return what is known then.

    Args:
        known: What is known before.
        tasks: The tasks that can be called: the chief, which this process is, and those that have
            answered it.
        most_links: The largest number of links to measure.
    """
    # A chief that cannot listen reports that itself; that nobody reaches it adds nothing.
    listening = [task for task in tasks if not known.answers[str(task)].facts.port_fault]
    unreached = _unreached(known.spec, listening)
    broken = {(one.caller, one.called) for one in unreached}
    chosen, left_out = choose_links(tasks, most_links)
    directions = [direction for pair in chosen for direction in (pair, pair[::-1])]
    measurable = [(a, b) for a, b in directions if b in listening and (a, b) not in broken]
    return dataclasses.replace(
        known,
        unreached=tuple(unreached),
        links=tuple(_measure(known.spec, measurable)),
        left_out=left_out,
    )


def _unreached(spec: ClusterSpec, tasks: Sequence[Task]) -> list[Unreached]:
    """Have the tasks call one another, all at the same time."""
    called = tasks_called_by(tasks)
    found = calls.at_once(lambda caller: _reach(spec, caller, called[caller]), called)
    return list(itertools.chain.from_iterable(found))


def _reach(spec: ClusterSpec, caller: Task, called: Sequence[Task]) -> list[Unreached]:
    try:
        failures = calls.ask_to_reach(spec, caller, called)
    except calls.FAILURES as error:  # The caller has answered before.
        chief = Task(type="chief", index=0)
        return [Unreached(caller=chief, called=caller, failure=CallFailure.of_error(error))]
    return [
        Unreached(caller=caller, called=task, failure=failure)
        for task, failure in zip(called, failures, strict=True)
        if failure is not None
    ]


def _measure(spec: ClusterSpec, directions: Sequence[Pair]) -> Iterator[Link]:
    """Measure one direction after another, so that they do not share bandwidth."""
    if directions:
        longest_s = len(directions) * measure.LIMIT_S
        say(
            f"measuring {len(directions)} directions of links, about {longest_s:.0f} s at most.",
            "tfps doctor",
        )
    said = time.monotonic()
    for number, (receiver, sender) in enumerate(directions):
        if time.monotonic() - said >= _SAY_EVERY_S:
            said = time.monotonic()
            say(f"measured {number} of {len(directions)} directions of links.", "tfps doctor")
        is_chief = receiver.type == "chief"
        result = calls.pull(spec, sender) if is_chief else calls.ask_to_pull(spec, receiver, sender)
        yield Link(
            receiver=receiver,
            sender=sender,
            speed=result if isinstance(result, LinkSpeed) else None,
            failure=result if isinstance(result, CallFailure) else None,
        )


def tasks_called_by(tasks: Sequence[Task]) -> dict[Task, tuple[Task, ...]]:
    """Return which tasks each worker and ps calls in a job.

    A worker calls the chief and every ps. A ps calls the chief and every worker, since the task
    that wants a tensor calls the task that has it.
    """
    chief, workers, ps = (_of_type(tasks, kind) for kind in ("chief", "worker", "ps"))
    return {
        **{task: (*chief, *ps) for task in workers},
        **{task: (*chief, *workers) for task in ps},
    }


def choose_links(tasks: Sequence[Task], most: int) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """Choose the links to measure: those between workers and ps, and the chief's.

    The order is: enough links between workers and ps to reach each of them once, then the chief's
    links, then the remaining links between workers and ps.

    Args:
        tasks: The tasks between which links can be measured.
        most: The largest number of links to choose.

    Returns:
        The links chosen and those left out.
    """
    chief, workers, ps = (_of_type(tasks, kind) for kind in ("chief", "worker", "ps"))
    first, *others = _rounds(workers, ps) or [[]]
    ordered = [*first, *((one, other) for one in chief for other in (*ps, *workers))]
    ordered += itertools.chain(*others)
    return tuple(ordered[:most]), tuple(ordered[most:])


def _rounds(workers: Sequence[Task], ps: Sequence[Task]) -> list[list[Pair]]:
    """Return all pairs in rounds; each round has every task of the longer side once."""
    longer, shorter = sorted((workers, ps), key=len, reverse=True)
    rounds = [
        [(one, shorter[(number + shift) % len(shorter)]) for number, one in enumerate(longer)]
        for shift in range(len(shorter))
    ]
    return rounds if longer is workers else [[(b, a) for a, b in pairs] for pairs in rounds]


def _of_type(tasks: Sequence[Task], kind: str) -> tuple[Task, ...]:
    return tuple(task for task in tasks if task.type == kind)
