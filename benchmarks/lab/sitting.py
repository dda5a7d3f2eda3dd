"""Let contenders take turns on links of one rate after another, and count what the links carry."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from benchmarks.compare import driver
from benchmarks.compare.driver import Patience, Plan
from benchmarks.compare.protocol import Answer
from benchmarks.lab import shaping
from benchmarks.lab.shaping import Moved


class Metered(Protocol):
    """What a sitting needs of a network."""

    def set_rate(self, rate_mbit: float) -> None:
        """Give all links a rate in Mbit/s, or `UNLIMITED`."""

    def counters(self) -> Mapping[str, Moved]:
        """Return what each link has carried until now."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Turn:
    """One turn of one contender.

    Attributes:
        answer: What it said.
        links: What each link carried meanwhile.
    """

    answer: Answer
    links: Mapping[str, Moved]


@dataclasses.dataclass(kw_only=True)
class Found:
    """What became of a contender.

    Attributes:
        parameters: Of its model.
        learning: Its turns on links without a limit, from its first step on.
        rounds: Its turns at each rate; None where it did not run.
        fault: How it failed; empty if it did not.
    """

    parameters: int = 0
    learning: list[Answer] = dataclasses.field(default_factory=list)
    rounds: dict[float, list[Turn | None]] = dataclasses.field(default_factory=dict)
    fault: str = ""


async def take_turns(
    plans: Sequence[Plan],
    network: Metered,
    *,
    rates_mbit: Sequence[float],
    rounds: int,
    learning_steps: Callable[[str], int],
    least_memory_gib: float,
    patience: Patience,
) -> dict[str, Found]:
    """Start all contenders without a limit, then let them take turns at each rate; end them.

    Each learns from the same number of examples, which warms it up as well, before the rates count.

    Args:
        plans: The contenders.
        network: Their links.
        rates_mbit: The rates, one after another.
        rounds: Turns of each contender at each rate.
        learning_steps: How many steps a contender, by name, takes at least before.
        least_memory_gib: Nobody is started when the machine has less memory available.
        patience: How long they may take.
    """
    found = {plan.name: Found() for plan in plans}
    sitting = driver.Sitting(plans, least_memory_gib=least_memory_gib, patience=patience)
    network.set_rate(shaping.UNLIMITED)
    async with sitting:
        for plan in plans:
            if await sitting.start(plan.name):
                found[plan.name].learning = await _learn(
                    sitting, plan.name, learning_steps(plan.name)
                )
        for rate_mbit in rates_mbit:
            network.set_rate(rate_mbit)
            for number in range(rounds):
                for name in sitting.order(number):
                    turns = found[name].rounds.setdefault(rate_mbit, [])
                    turns.append(await _turn(sitting, name, network))
                driver.say(f"round {number + 1} of {rounds}{_at(rate_mbit)} is over")
    for name, outcome in sitting.outcomes.items():
        found[name].parameters, found[name].fault = outcome.parameters, outcome.fault
    return found


def _at(rate_mbit: float) -> str:
    return "" if rate_mbit == shaping.UNLIMITED else f" at {rate_mbit:g} Mbit/s"


async def _learn(sitting: driver.Sitting, name: str, steps: int) -> list[Answer]:
    answers: list[Answer] = []
    while sum(answer.steps for answer in answers) < steps:
        answer = await sitting.turn(name)
        if answer is None:
            break
        answers.append(answer)
    return answers


async def _turn(sitting: driver.Sitting, name: str, network: Metered) -> Turn | None:
    before = network.counters()
    answer = await sitting.turn(name)
    if answer is None:
        return None
    after = network.counters()
    links = {link: moved.since(before[link]) for link, moved in after.items()}
    return Turn(answer=answer, links=links)
