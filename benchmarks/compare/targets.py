"""The project's targets relative to its peers, and what a run reached of them."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

from benchmarks import report
from benchmarks.compare.cases import ModelName
from benchmarks.compare.contenders import Contender

Rates = Mapping[Contender, Sequence[float | None]]
"""Examples/s of each contender in each round; None where it did not run."""

NOT_RUN = "-"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ratio:
    """A target for the ratio of two rates, those of the best contenders of two families.

    Attributes:
        model: The model they train.
        of: The family of the first, or the first word of several.
        over: The family of the second.
        at_least: What is wanted.
        steps_per_execution: Of both; None for any.
    """

    model: ModelName
    of: str
    over: str
    at_least: float
    steps_per_execution: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bytes:
    """Bytes per step of a family.

    Attributes:
        model: The model they train.
        of: The family, or the first word of several.
        at_most_mb: What is wanted, in MB; None for `MOST_OF_NUMBERS` times the float32 numbers
            that a step needs.
    """

    model: ModelName
    of: str
    at_most_mb: float | None = None


MOST_OF_NUMBERS = 1.25
RATIOS = (
    Ratio(model="encoder", of="tfps bfloat16", over="tf_keras", at_least=2.3),
    Ratio(model="encoder", of="tfps bfloat16", over="torch DDP", at_least=2.2),
    Ratio(model="encoder", of="tfps bfloat16", over="ceiling", at_least=0.9),
    Ratio(model="encoder", of="tfps float32", over="tf_keras", at_least=1.8),
    Ratio(model="recommender", of="tfps", over="tf_keras", at_least=3.0),
    Ratio(model="recommender", of="tfps", over="Keras 3 loop", at_least=20.0),
    Ratio(model="linear", of="tfps", over="tf_keras", at_least=5.0, steps_per_execution=32),
)
BYTES = (
    Bytes(model="encoder", of="tfps float32", at_most_mb=26.0),
    Bytes(model="encoder", of="tfps bfloat16", at_most_mb=13.0),
    Bytes(model="encoder", of="tfps int8", at_most_mb=7.0),
    Bytes(model="encoder", of="tfps topk", at_most_mb=4.0),
    Bytes(model="recommender", of="tfps"),
)


def ratio_table(
    model: ModelName, rates: Rates, asked: Sequence[Ratio] = RATIOS, where: str = ""
) -> report.Table:
    """Return the ratios that the targets ask for, the median of the rounds' ratios.

    Args:
        model: The model.
        rates: What was measured.
        asked: The targets.
        where: What the title says after the model, e.g. ` at 100 Mbit/s`.
    """
    return report.Table(
        title=f"{model}{where}: ratios of examples/s, round by round",
        columns=["of", "over", "min", "median", "max", "target", "reached"],
        rows=[_ratio_row(target, rates) for target in asked if target.model == model],
        note="Of each family the contender with the highest median.",
    )


def bytes_table(
    model: ModelName, counted_mb: Mapping[Contender, float], numbers_mb: float
) -> report.Table:
    """Return the bytes per step of every contender that a target is for.

    Args:
        model: The model.
        counted_mb: What each contender counts that a step moves, in MB.
        numbers_mb: What the float32 numbers that a step needs take by themselves, both ways.
    """
    rows: list[list[report.Cell]] = []
    for target in (target for target in BYTES if target.model == model):
        most = target.at_most_mb or MOST_OF_NUMBERS * numbers_mb
        for contender, moved in counted_mb.items():
            if _is_of(contender.family, target.of):
                rows.append([contender.name, moved, numbers_mb, most, moved <= most])
    return report.Table(
        title=f"{model}: MB per step",
        columns=["contender", "counted MB", "numbers MB", "at most", "reached"],
        rows=rows,
        note="numbers: the float32 values of the dense parameters and of the rows that a batch "
        "looks up, each row once; down and back.",
    )


def pair(rates: Rates, target: Ratio) -> tuple[Contender | None, Contender | None, Sequence[float]]:
    """Return the best contender of either family, and the ratio of each round that both ran in.

    The first is the best of those that ran beside the second.
    """
    candidates = {
        contender: of_rounds
        for contender, of_rounds in rates.items()
        if target.steps_per_execution in (None, contender.steps_per_execution)
    }
    second = _best({one: candidates[one] for one in candidates if _is_of(one.family, target.over)})
    firsts = {one: candidates[one] for one in candidates if _is_of(one.family, target.of)}
    if second is None:
        return _best(firsts), None, []
    ratios = {one: _ratios(of_rounds, rates[second]) for one, of_rounds in firsts.items()}
    first = _best({one: firsts[one] for one in firsts if ratios[one]})
    return first, second, ratios[first] if first else []


def _best(rates: Rates) -> Contender | None:
    """Return the contender with the highest median."""
    medians = {
        contender: statistics.median(measured)
        for contender, of_rounds in rates.items()
        if (measured := [rate for rate in of_rounds if rate is not None])
    }
    return max(medians, key=lambda contender: medians[contender]) if medians else None


def _ratios(of: Sequence[float | None], over: Sequence[float | None]) -> list[float]:
    rounds = zip(of, over, strict=True)
    return [one / other for one, other in rounds if one is not None and other is not None]


def _ratio_row(target: Ratio, rates: Rates) -> list[report.Cell]:
    first, second, ratios = pair(rates, target)
    names = [
        contender.name if contender else f"{family}, not run"
        for contender, family in ((first, target.of), (second, target.over))
    ]
    if not ratios:
        return [*names, NOT_RUN, NOT_RUN, NOT_RUN, target.at_least, NOT_RUN]
    low, middle, high = report.low_middle_high(ratios)
    return [*names, low, middle, high, target.at_least, middle >= target.at_least]


def _is_of(family: str, asked: str) -> bool:
    return family == asked or family.startswith(f"{asked} ")
