"""Run a cluster's tasks in namespaces that another process holds, as `tfps local` would run them.

    python -m benchmarks.lab.place PLACES -- PROGRAM ARGS

PLACES is the JSON of `to_json`. `plans.py` writes this command.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping, Sequence

from tfps.cluster.processes import plan, supervise
from tfps.cluster.processes.plan import TaskProcess
from tfps.cluster.spec import ClusterSpec, Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where a task runs.

    Attributes:
        type: Of the task.
        index: Of the task.
        address: Its host and port.
        namespace: What `nsenter --net=` takes.
    """

    type: str
    index: int
    address: str
    namespace: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spot:
    """One end of a network, for a task to run at.

    Attributes:
        address: Of its link.
        namespace: What `nsenter --net=` takes.
    """

    address: str
    namespace: str


def main() -> None:
    """Run the tasks until the chief ends; leave no process behind."""
    places, separator, *program = sys.argv[1:] + [""] * (3 - len(sys.argv))
    if separator != "--" or not program:
        print("place: usage: python -m benchmarks.lab.place PLACES -- PROGRAM", file=sys.stderr)
        sys.exit(2)
    sys.exit(supervise.run_job(processes(from_json(places), program, os.environ)))


def processes(
    places: Sequence[Place], program: Sequence[str], environment: Mapping[str, str]
) -> tuple[TaskProcess, ...]:
    """Return the process of each task: what `tfps local` plans for it, in its namespace."""
    addresses: dict[str, tuple[str, ...]] = {}
    for place in places:
        addresses[place.type] = (*addresses.get(place.type, ()), place.address)
    namespaces = {Task(type=place.type, index=place.index): place.namespace for place in places}
    planned = plan.processes(
        ClusterSpec(**addresses), program, environment=environment, threads_per_worker=1
    )
    return tuple(
        dataclasses.replace(one, command=inside(namespaces[one.task], one.command))
        for one in planned
    )


def inside(namespace: str, command: Sequence[str]) -> tuple[str, ...]:
    """Return the command that runs a command in a namespace, as the same process."""
    return ("nsenter", f"--net={namespace}", "--", *command)


def to_json(places: Sequence[Place]) -> str:
    """Write places, of each type in the order of their index."""
    return json.dumps([dataclasses.asdict(place) for place in places])


def from_json(text: str) -> list[Place]:
    """Read what `to_json` wrote."""
    return [Place(**one) for one in json.loads(text)]


if __name__ == "__main__":
    main()
