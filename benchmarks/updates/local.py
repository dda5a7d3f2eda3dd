"""Local steps against synchronous updates, at equal examples: held-out loss, and bytes.

    python -m benchmarks.updates.local --plot local.png --json local.json

starts a chief, 4 workers of one thread each and 2 ps through `tfps local`, and trains the model of
models/gpt_lm.py from scratch, from the same initial weights and on as many examples: with
`Synchronous()`, and with `Local(16)`, whose workers take 16 steps by themselves between a pull and
a push: with an outer SGD with Nesterov momentum as in DiLoCo, with plain averaging, and each on its
own clock with elastic averaging; and as in DiLoCo with 4 and with 8 steps. It prints the held-out
losses, by how much the last one is above that of `Synchronous()` (2 % are allowed), and how many
times fewer bytes an example moves (7/8 of the number of steps are wanted: 14 times fewer with 16).

More data and other models come by the same options as to `python -m benchmarks.updates.curves`.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping

import tyro
from typing_extensions import override

from benchmarks import launch, report
from benchmarks.learning.arguments import chosen
from benchmarks.learning.lesson import Lesson
from benchmarks.learning.results import Results, draw
from benchmarks.updates import comparison
from benchmarks.updates.comparison import Data, LearningArguments, Model
from benchmarks.updates.contenders import SYNCHRONOUS, Contender, local_steps

LEAST_FEWER = 14 / 16  # A local step.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(LearningArguments):
    """Compare local steps with synchronous updates on a local cluster, at equal examples."""

    models: tuple[Model, ...] = ("gpt",)
    """What is trained: models/gpt_lm.py, or models/bert_classifier.py."""
    steps_per_epoch: int = 1024
    """Steps in an epoch, batches of single workers; local steps want a multiple of
    workers x 16."""
    workers: int = 4
    """Workers, of one thread each."""

    @property
    @override
    def contenders(self) -> dict[str, Contender]:
        return chosen(local_steps(self.workers, self.rate_of_means), self.policies, "--policies")


def main() -> None:
    """Train on a cluster that this command starts, and publish."""
    arguments = tyro.cli(Arguments)
    if launch.serves_text():
        return
    data = launch.checked("local", lambda: Data.read(arguments))
    launch.on_local_cluster(
        lambda: measure(arguments, data),
        "benchmarks.updates.local",
        ps=2,
        workers=arguments.workers,
    )


def measure(arguments: Arguments, data: Data) -> None:
    """Train all contenders on the cluster of TF_CONFIG, and publish."""
    everyone = arguments.contenders
    found = comparison.compare(arguments, data, everyone, versus="Synchronous()")
    tables = [
        *(bytes_per_example(lesson, results, everyone) for lesson, results in found),
        *comparison.tables(found, arguments.workers),
    ]
    report.publish(tables, arguments.json, [results.each() for _, results in found])
    if arguments.plot is not None:
        draw([results for _, results in found], arguments.plot, within_percent=(2,))


def bytes_per_example(
    lesson: Lesson, results: Results, contenders: Mapping[str, Contender]
) -> report.Table:
    """Return the table of what an example moves, beside `Synchronous`."""
    moved = {
        name: statistics.median(curve.pull_mb + curve.push_mb for curve in curves)
        / lesson.batch_size
        for name, curves in results.curves.items()
    }
    rows: list[list[report.Cell]] = []
    for name, megabytes in moved.items():
        fewer = moved[SYNCHRONOUS] / megabytes
        steps = contenders[name].local_steps
        reached: report.Cell = "-" if steps is None else fewer >= LEAST_FEWER * steps
        rows.append([name, steps or "-", 1e3 * megabytes, fewer, reached])
    return report.Table(
        title=f"{results.name}: bytes of an example, both ways",
        columns=["policy", "local steps", "KB", "times fewer", f">= {LEAST_FEWER:g} a step"],
        rows=rows,
        note="Of what steps pull and push (history.traffic).",
    )


if __name__ == "__main__":
    main()
