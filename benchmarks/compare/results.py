"""The results of a run: tables for one model, and a picture for all models."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.compare import targets
from benchmarks.compare.cases import Chosen
from benchmarks.compare.contenders import NUM_PS, NUM_WORKERS, Contender, steps_of
from benchmarks.compare.driver import Outcome, Round

_FLOAT_BYTES = 4
_NONE = "-"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Results:
    """The outcomes of one model's contenders.

    Attributes:
        chosen: What they were told.
        outcomes: What became of each.
    """

    chosen: Chosen
    outcomes: Mapping[Contender, Outcome]

    @property
    def rates(self) -> targets.Rates:
        """Examples/s of each contender in each round."""
        batch = self.chosen.case.batch
        return {
            contender: [_rate(one, batch) for one in outcome.rounds]
            for contender, outcome in self.outcomes.items()
        }

    @property
    def measured_rates(self) -> dict[str, list[float]]:
        """Examples/s by name, of those rounds and contenders that have been measured."""
        measured = {
            contender.name: [rate for rate in rates if rate is not None]
            for contender, rates in self.rates.items()
        }
        return {name: rates for name, rates in measured.items() if rates}

    def tables(self, versions: Mapping[str, str]) -> list[report.Table]:
        """Return the tables of the model.

        Args:
            versions: Of the peers' packages.
        """
        model = self.chosen.model
        found = [
            self._speeds(versions),
            targets.ratio_table(model, self.rates),
            targets.bytes_table(model, self._counted_mb(), self._numbers_mb()),
            self._faults(),
        ]
        return [table for table in found if table.rows]

    def rounds(self) -> report.Table:
        """Return the table of each round."""
        num_rounds = len(next(iter(self.outcomes.values())).rounds)
        return report.Table(
            title=f"{self.chosen.model}: examples/s of each round",
            columns=["contender", *(str(number + 1) for number in range(num_rounds))],
            rows=[
                [contender.name, *(_NONE if rate is None else rate for rate in rates)]
                for contender, rates in self.rates.items()
                if any(rate is not None for rate in rates)
            ],
        )

    def _speeds(self, versions: Mapping[str, str]) -> report.Table:
        batch = self.chosen.case.batch
        rows: list[list[report.Cell]] = []
        for contender, outcome in self.outcomes.items():
            rounds = _measured(outcome)
            if not rounds:
                continue
            low, middle, high = report.low_middle_high([_speed(one) * batch for one in rounds])
            loopback = [one.loopback_bytes / one.answer.steps / 1e6 for one in rounds]
            rows.append(
                [
                    contender.name,
                    *(low, middle, high, middle / batch),
                    statistics.median(loopback),
                    self._counted_mb().get(contender, _NONE),
                    rounds[-1].answer.loss,
                ]
            )
        fewer = ", ".join(
            f"{contender.name} {steps}"
            for contender in self.outcomes
            if (steps := steps_of(contender, self.chosen.model, self.chosen.steps))
            != self.chosen.steps
        )
        peers = ", ".join(f"{name} {version}" for name, version in versions.items())
        # One number, unless a contender trains another model.
        parameters = " or ".join(
            f"{number:,}" for number in sorted({o.parameters for o in self.outcomes.values()} - {0})
        )
        return report.Table(
            title=f"{self.chosen.model}, {parameters} parameters: batch {batch}, "
            f"{self.chosen.steps} steps a turn, {NUM_WORKERS} workers of one thread, {NUM_PS} ps",
            columns=[
                *("contender", "examples/s min", "median", "max", "steps/s"),
                *("loopback MB", "counted MB", "loss"),
            ],
            rows=rows,
            note="steps/s: batches of all workers. MB: per step, both ways; counted: "
            f"history.traffic. xN: N steps per dispatch. Peers: {peers or 'none installed'}."
            + (f" Fewer steps a turn: {fewer}." if fewer else ""),
        )

    def _faults(self) -> report.Table:
        return report.Table(
            title=f"{self.chosen.model}: not measured, or not to the end",
            columns=["contender", "why"],
            rows=[
                [contender.name, outcome.fault]
                for contender, outcome in self.outcomes.items()
                if outcome.fault
            ],
        )

    def _counted_mb(self) -> dict[Contender, float]:
        counted = {}
        for contender, outcome in self.outcomes.items():
            moved = [
                one.answer.counted_bytes / one.answer.steps / 1e6
                for one in _measured(outcome)
                if one.answer.counted_bytes is not None
            ]
            if moved:
                counted[contender] = statistics.median(moved)
        return counted

    def _numbers_mb(self) -> float:
        """Return the MB of the float32 values that a step needs, in both directions."""
        case = self.chosen.case
        parameters = max(outcome.parameters for outcome in self.outcomes.values())
        rows, width = case.table or (0, 0)
        needed = parameters - rows * width + case.unique_rows * width
        return 2 * _FLOAT_BYTES * needed / 1e6


def joined(
    sittings: Sequence[Mapping[Contender, Outcome]], rounds: int
) -> dict[Contender, Outcome]:
    """Join the outcomes of consecutive sittings, as if they were one with more rounds.

    Args:
        sittings: The outcomes of each.
        rounds: How many rounds each of them had; who was not there has None for them.
    """
    outcomes: dict[Contender, Outcome] = {}
    for number, sitting in enumerate(sittings):
        for contender, found in sitting.items():
            outcome = outcomes.setdefault(contender, Outcome(rounds=[None] * (rounds * number)))
            outcome.parameters = outcome.parameters or found.parameters
            outcome.fault = outcome.fault or found.fault
            outcome.rounds += found.rounds
        for outcome in outcomes.values():
            outcome.rounds += [None] * (rounds * (number + 1) - len(outcome.rounds))
    return outcomes


def _measured(outcome: Outcome) -> Sequence[Round]:
    return [one for one in outcome.rounds if one is not None]


def _rate(one: Round | None, batch: int) -> float | None:
    return None if one is None else _speed(one) * batch


def _speed(one: Round) -> float:
    """Return steps/s."""
    return one.answer.steps / one.answer.seconds


_BAR_INCHES = 0.3
_PANEL_INCHES = 1.3


def draw(rates: Mapping[Any, Mapping[str, Sequence[float]]], file: Path) -> None:
    """Draw examples/s to a PNG file: a bar for the median, a line from the least to the most.

    Args:
        rates: Examples/s of each contender in each of its rounds, for each model.
        file: Where to write.
    """
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    heights = [_PANEL_INCHES + _BAR_INCHES * len(of_model) for of_model in rates.values()]
    figure, panels = plt.subplots(
        len(rates),
        squeeze=False,
        figsize=(9, sum(heights)),
        height_ratios=heights,
        layout="constrained",
    )
    for panel, (model, of_model) in zip(panels[:, 0], rates.items(), strict=True):
        spans = {name: report.low_middle_high(values) for name, values in of_model.items()}
        medians = [middle for _, middle, _ in spans.values()]
        apart = [
            [middle - low for low, middle, _ in spans.values()],
            [high - middle for _, middle, high in spans.values()],
        ]
        bars = panel.barh(list(spans), medians, xerr=apart, color=_colors(spans), capsize=2)
        panel.bar_label(
            bars, [f"{median:,.{0 if median >= 100 else 1}f}" for median in medians], padding=6
        )
        panel.invert_yaxis()
        panel.margins(x=0.12)
        panel.spines[["top", "right"]].set_visible(False)
        panel.set(title=model, xlabel="examples/s, median; line: least to most")
    figure.savefig(file, dpi=120)
    plt.close(figure)


def _colors(names: Mapping[str, object]) -> list[str]:
    return [
        "tab:blue" if name.startswith("tfps") else "silver" if name == "ceiling" else "tab:orange"
        for name in names
    ]
