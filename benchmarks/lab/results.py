"""What a run of the lab found, as tables."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from functools import cached_property

from benchmarks import report
from benchmarks.compare import targets
from benchmarks.compare.cases import Chosen
from benchmarks.compare.contenders import NUM_PS, NUM_WORKERS, Contender
from benchmarks.compare.targets import NOT_RUN, Ratio
from benchmarks.lab import bounds
from benchmarks.lab.bounds import CEILING
from benchmarks.lab.sitting import Found, Turn

TARGETS: Mapping[float, Sequence[Ratio]] = {
    100.0: (Ratio(model="encoder", of="tfps", over="tf_keras", at_least=8.0),),
}
"""What is wanted at a rate, in Mbit/s."""
_COMPARED = (Ratio(model="encoder", of="tfps", over="tf_keras", at_least=1.0),)
_WORKERS = tuple(f"worker {index}" for index in range(NUM_WORKERS))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Results:
    """What became of each contender of a model.

    Attributes:
        chosen: What they were told; steps are those of the contenders that have most.
        rates_mbit: The rates of the links.
        found: What became of each.
    """

    chosen: Chosen
    rates_mbit: Sequence[float]
    found: Mapping[Contender, Found]

    @cached_property
    def _batch(self) -> int:
        return self.chosen.case.batch

    def rates(self, rate_mbit: float) -> targets.Rates:
        """Return examples/s of each contender in each round at a rate."""
        return {
            contender: [
                None if turn is None else self._examples_per_s(turn)
                for turn in found.rounds.get(rate_mbit, [])
            ]
            for contender, found in self.found.items()
        }

    def measured(self) -> dict[str, dict[str, list[float]]]:
        """Return examples/s by name, of what was measured, under a title for each rate."""
        named = {}
        for rate_mbit in self.rates_mbit:
            measured = {
                contender.name: [one for one in of_rounds if one is not None]
                for contender, of_rounds in self.rates(rate_mbit).items()
            }
            of_rate = {name: of_rounds for name, of_rounds in measured.items() if of_rounds}
            if of_rate:
                named[self._title(rate_mbit)] = of_rate
        return named

    def tables(self) -> list[report.Table]:
        """Return the tables: of each rate, and of all of them."""
        tables = []
        model = self.chosen.model
        for rate_mbit in self.rates_mbit:
            rates, title = self.rates(rate_mbit), self._title(rate_mbit)
            asked = TARGETS.get(rate_mbit, _COMPARED)
            tables += [
                self._speeds(rate_mbit),
                targets.ratio_table(model, rates, asked, title.removeprefix(model)),
                bounds.table(title, self.found, rates, rate_mbit, self._batch),
            ]
        tables += [self._losses(), self._faults()]
        return [table for table in tables if table.rows]

    def rounds(self) -> list[report.Table]:
        """Return a table of each round for each rate."""
        return [self._rounds(rate_mbit) for rate_mbit in self.rates_mbit if self.found]

    def _rounds(self, rate_mbit: float) -> report.Table:
        rates = self.rates(rate_mbit)
        num_rounds = max(len(of_rounds) for of_rounds in rates.values())
        return report.Table(
            title=f"{self._title(rate_mbit)}: examples/s of each round",
            columns=["contender", *(str(number + 1) for number in range(num_rounds))],
            rows=[
                [contender.name, *(NOT_RUN if rate is None else rate for rate in of_rounds)]
                for contender, of_rounds in rates.items()
            ],
        )

    def _title(self, rate_mbit: float) -> str:
        return f"{self.chosen.model} at {rate_mbit:g} Mbit/s"

    def _speeds(self, rate_mbit: float) -> report.Table:
        rows: list[list[report.Cell]] = []
        for contender, found in self.found.items():
            turns = _measured(found, rate_mbit)
            if not turns:
                continue
            low, middle, high = report.low_middle_high([self._examples_per_s(t) for t in turns])
            down, up = (
                statistics.median(
                    sum(getattr(t.links[name], field) for name in _WORKERS) / t.answer.steps / 1e6
                    for t in turns
                )
                for field in ("down_bytes", "up_bytes")
            )
            counted = _counted_mb(turns)
            steps = turns[0].answer.steps
            rows.append([contender.name, steps, low, middle, high, down, up, counted])
        return report.Table(
            title=f"{self._title(rate_mbit)}: batch {self._batch}, {NUM_WORKERS} workers of one "
            f"thread, {NUM_PS} ps, each task on a link of its own",
            columns=[
                *("contender", "steps", "examples/s min", "median", "max"),
                *("MB down", "MB up", "counted MB"),
            ],
            rows=rows,
            note="steps: of a turn. MB: per step, what the workers' links carried, headers "
            "included; counted: history.traffic, both ways. xN: N steps per dispatch.",
        )

    def _losses(self) -> report.Table:
        steps = self.chosen.steps
        rows: list[list[report.Cell]] = []
        for contender, found in self.found.items():
            learnt = sum(answer.steps for answer in found.learning)
            if contender is not CEILING and learnt >= steps:
                examples = learnt * self._batch
                rows.append([contender.name, examples, last_loss(found, steps)])
        return report.Table(
            title=f"{self.chosen.model}: training loss after the same examples, links unlimited",
            columns=["contender", "examples", "loss"],
            rows=rows,
            note=f"The mean of the last {steps} steps, over both workers.",
        )

    def _faults(self) -> report.Table:
        return report.Table(
            title=f"{self.chosen.model}: not measured, or not to the end",
            columns=["contender", "why"],
            rows=[[one.name, found.fault] for one, found in self.found.items() if found.fault],
        )

    def _examples_per_s(self, turn: Turn) -> float:
        return self._batch * turn.answer.steps / turn.answer.seconds


def joined(
    sittings: Sequence[Mapping[Contender, Found]], rates_mbit: Sequence[float], rounds: int
) -> dict[Contender, Found]:
    """Return what sittings one after another found, as if it had been one of more rounds.

    Args:
        sittings: What each found.
        rates_mbit: The rates of all.
        rounds: How many rounds each had at each rate; who was not there has None for them.
    """
    together: dict[Contender, Found] = {}
    for number, sitting in enumerate(sittings):
        for contender, found in sitting.items():
            one = together.setdefault(contender, Found())
            one.parameters = one.parameters or found.parameters
            one.fault = one.fault or found.fault
            one.learning = one.learning or found.learning
            for rate_mbit in rates_mbit:
                turns = one.rounds.setdefault(rate_mbit, [])
                turns += [None] * (rounds * number - len(turns))
                turns += found.rounds.get(rate_mbit, [])
    for one in together.values():
        for turns in one.rounds.values():
            turns += [None] * (rounds * len(sittings) - len(turns))
    return together


def last_loss(found: Found, steps: int) -> float:
    """Return the mean loss of the last steps that a contender learnt before the rates."""
    total, taken = 0.0, 0
    for answer in reversed(found.learning):
        total += answer.loss * answer.steps
        taken += answer.steps
        if taken >= steps:
            break
    return total / taken


def _measured(found: Found, rate_mbit: float) -> list[Turn]:
    return [turn for turn in found.rounds.get(rate_mbit, []) if turn is not None]


def _counted_mb(turns: Sequence[Turn]) -> report.Cell:
    counted = [
        turn.answer.counted_bytes / turn.answer.steps / 1e6
        for turn in turns
        if turn.answer.counted_bytes is not None
    ]
    return statistics.median(counted) if counted else NOT_RUN
