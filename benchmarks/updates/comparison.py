"""The contenders trained one after another, on each model, and what comes of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks import report
from benchmarks.learning.lesson import Curve, Lesson, order
from benchmarks.learning.results import Results
from benchmarks.updates.arguments import Data, LearningArguments
from benchmarks.updates.contenders import ASYNCHRONOUS, Contender
from benchmarks.updates.train import train
from tfps.training.history import total


def compare(
    arguments: LearningArguments,
    data: Data,
    contenders: Mapping[str, Contender],
    *,
    versus: str,
    asynchronous_repeats: int = 1,
) -> list[tuple[Lesson, Results]]:
    """Train all contenders on all models, and return what was found of each model.

    Args:
        arguments: What was asked for.
        data: What is trained on.
        contenders: Who takes part, by name.
        versus: Whom they are compared with, for a reader.
        asynchronous_repeats: How often `Asynchronous()` is trained with, at least: no two of its
            trainings are the same.
    """
    turns = order(list(contenders), arguments.repeats, ASYNCHRONOUS, asynchronous_repeats)
    found = []
    for model, lesson in data.lessons(arguments).items():
        curves: dict[str, list[Curve]] = {name: [] for name in contenders}
        for name in turns:
            curve = train(contenders[name], lesson, arguments.workers)
            curves[name].append(curve)
            print(f"{model}, {name}: {curve}", file=sys.stderr, flush=True)
        results = Results(
            contenders=contenders,
            curves=curves,
            examples=lesson.examples,
            scale=lesson.scale,
            kind="policy",
            versus=versus,
            name=model,
        )
        found.append((lesson, results))
    return found


def tables(found: Sequence[tuple[Lesson, Results]], workers: int) -> list[report.Table]:
    """Return the tables of all models; what was trained with comes once, at the end."""
    made: list[report.Table] = []
    for lesson, results in found:
        title = f"{results.name}: held-out loss on {lesson.title}, {workers} workers, 2 ps"
        made += [results.losses(title), results.spreads(), updates(results)]
    _, last = found[-1]
    return [table for table in [*made, last.formats()] if table.rows]


def updates(results: Results) -> report.Table:
    """Return the table of the updates of each contender's first training."""
    rows: list[list[report.Cell]] = []
    for name, (curve, *_) in results.curves.items():
        if curve.updates:
            of_all = total(curve.updates)
            rows.append(
                [
                    *(name, of_all.updates, round(of_all.mean_staleness, 2)),
                    *(of_all.max_staleness, int(np.sum(of_all.dropped))),
                    100 * float(np.mean(of_all.waited_s)) / of_all.seconds,
                ]
            )
    return report.Table(
        title=f"{results.name}: the updates of the first training",
        columns=["policy", "updates", "staleness: mean", "most", "dropped", "waiting %"],
        rows=rows,
        note="waiting: of a worker's time, the mean of all.",
    )
