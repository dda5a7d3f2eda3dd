"""Learning curves of every update policy at equal examples, beside one process.

    python -m benchmarks.updates.curves --plot updates.png --json updates.json

starts a chief, 2 workers of one thread each and 2 ps through `tfps local`, and trains the models of
models/gpt_lm.py and models/bert_classifier.py from scratch with each policy of tfps.update, and by
plain Keras in one process: from the same initial weights, on as many examples. Unless told
otherwise, the data are those of the recipes, which are on every machine. For files without a header
line, like those of AG News:

    python -m benchmarks.updates.curves --models classifier \\
        --classifier-data train.csv --classifier-test-data test.csv \\
        --classifier-columns topic title body \\
        --classifier-text-column title body --classifier-label-column topic

A step is a batch of one worker. The process alone takes the workers' batches in turn, one an
update. An update of the mean of N batches takes N of them: there are N times fewer, and the
schedule of the learning rate is as much shorter. What each was trained with is in the last table.
It prints what a step moves, the held-out loss after each epoch, by how much the last one is above
that of one process, and whether by more than 3 %. `Asynchronous()` is trained several times, as no
two of its trainings are the same.
"""

from __future__ import annotations

import dataclasses

import tyro
from typing_extensions import override

from benchmarks import launch, report
from benchmarks.learning.arguments import chosen
from benchmarks.learning.results import draw
from benchmarks.updates import comparison
from benchmarks.updates.comparison import Data, LearningArguments
from benchmarks.updates.contenders import Contender, policies


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(LearningArguments):
    """Draw the learning curves of every update policy on a local cluster, at equal examples."""

    steps_per_epoch: int = 512
    """Steps in an epoch of the GPT, batches of single workers; local steps want a multiple of
    workers x 16."""
    asynchronous_repeats: int = 3
    """How often Asynchronous() is trained with, at least."""

    @property
    @override
    def contenders(self) -> dict[str, Contender]:
        return chosen(policies(self.workers, self.rate_of_means), self.policies, "--policies")


def main() -> None:
    """Train on a cluster that this command starts, and publish."""
    arguments = tyro.cli(Arguments)
    if launch.serves_text():
        return
    data = launch.checked("curves", lambda: Data.read(arguments))
    launch.on_local_cluster(
        lambda: measure(arguments, data),
        "benchmarks.updates.curves",
        ps=2,
        workers=arguments.workers,
    )


def measure(arguments: Arguments, data: Data) -> None:
    """Train all contenders on the cluster of TF_CONFIG, and publish."""
    found = comparison.compare(
        arguments,
        data,
        arguments.contenders,
        versus="one process",
        asynchronous_repeats=arguments.asynchronous_repeats,
    )
    each = [results.each() for _, results in found]
    report.publish(comparison.tables(found, arguments.workers), arguments.json, each)
    if arguments.plot is not None:
        draw([results for _, results in found], arguments.plot, within_percent=(3,))


if __name__ == "__main__":
    main()
