"""Which tasks call which, and which links are measured."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from tfps.cluster.spec import Task

Pair = tuple[Task, Task]


def called_by(tasks: Sequence[Task]) -> dict[Task, tuple[Task, ...]]:
    """Return whom each worker and ps calls in a job: the chief, and the tasks of the other kind.

    A ps calls a worker, too: the task that wants a tensor calls the one that has it.
    """
    chief, workers, ps = (_of_type(tasks, kind) for kind in ("chief", "worker", "ps"))
    return {
        **{task: (*chief, *ps) for task in workers},
        **{task: (*chief, *workers) for task in ps},
    }


def plan(tasks: Sequence[Task], most: int) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """Choose the links to measure: those between workers and ps, and the chief's.

    First come as many between workers and ps as reach each of them once, then the chief's, then the
    other ones between workers and ps.

    Args:
        tasks: Those that can be measured.
        most: How many links to choose at most.

    Returns:
        The links chosen and those left out.
    """
    chief, workers, ps = (_of_type(tasks, kind) for kind in ("chief", "worker", "ps"))
    rounds = [list(one) for one in _rounds(workers, ps)]
    found = [*itertools.chain(*rounds[:1])]
    found += [(one, other) for one in chief for other in (*ps, *workers)]
    found += itertools.chain(*rounds[1:])
    return tuple(found[:most]), tuple(found[most:])


def _rounds(workers: Sequence[Task], ps: Sequence[Task]) -> list[list[Pair]]:
    """Return all pairs, in rounds of which each has every task of the longer side once."""
    longer, shorter = sorted((workers, ps), key=len, reverse=True)
    shifted = [
        [(one, shorter[(number + shift) % len(shorter)]) for number, one in enumerate(longer)]
        for shift in range(len(shorter))
    ]
    return shifted if longer is workers else [[(b, a) for a, b in one] for one in shifted]


def _of_type(tasks: Sequence[Task], kind: str) -> tuple[Task, ...]:
    return tuple(task for task in tasks if task.type == kind)
