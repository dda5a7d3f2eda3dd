"""What the chief knows of the job when it has asked and measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from tfps.cluster.spec import ClusterSpec, Task
from tfps.doctor.facts import Facts
from tfps.doctor.faults import Fault


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clock:
    """A task's clock against this one.

    Attributes:
        offset_s: By how much it is ahead.
        error_s: By how much that may be wrong.
    """

    offset_s: float
    error_s: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pull:
    """What a task measured of the link on which it receives from another.

    Attributes:
        round_trip_s: The median of some small messages and their answers.
        bytes_per_s: What arrived; 0 when small messages do and large ones do not.
    """

    round_trip_s: float
    bytes_per_s: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """What a task has told.

    Attributes:
        facts: What it says of itself.
        ip: Where the chief has called it; empty where it has not.
        clock: Its clock against the chief's; None where the chief has not called it.
    """

    facts: Facts
    ip: str = ""
    clock: Clock | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unreached:
    """A task that another one does not reach."""

    caller: Task
    called: Task
    fault: Fault


@dataclasses.dataclass(frozen=True, kw_only=True)
class Link:
    """One direction of a link: from a sender to a receiver, which measured it or could not."""

    receiver: Task
    sender: Task
    pull: Pull | None = None
    fault: Fault | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Observed:
    """What is known of the job.

    Attributes:
        spec: The cluster of the chief's TF_CONFIG; empty for this machine alone.
        answers: What the tasks have told, by their labels.
        missing: The tasks that the chief cannot call, and why; some of them have called it.
        unreached: Which of the tasks that answered do not reach which other ones.
        links: What was measured.
        left_out: The links that were not measured, for there were too many.
    """

    spec: ClusterSpec
    answers: Mapping[str, Answer]
    missing: Mapping[Task, Fault] = dataclasses.field(default_factory=dict)
    unreached: tuple[Unreached, ...] = ()
    links: tuple[Link, ...] = ()
    left_out: tuple[tuple[Task, Task], ...] = ()

    @property
    def facts(self) -> tuple[Facts, ...]:
        """What the tasks say of themselves, in the order of the answers."""
        return tuple(answer.facts for answer in self.answers.values())

    def holders(self, package: str) -> dict[str, list[str]]:
        """Return which tasks have which version of a package; "" is none."""
        found: dict[str, list[str]] = {}
        for facts in self.facts:
            found.setdefault(facts.versions.get(package, ""), []).append(facts.label)
        return found
