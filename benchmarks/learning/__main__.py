"""Learning curves of every codec at equal examples, beside float32's.

    python -m benchmarks.learning --plot learning.png --json learning.json

starts a chief, 2 workers of one thread each and 2 ps through `tfps local`, and trains the model of
models/gpt_lm.py from scratch once for each format on the wire, on Python's standard library unless
told otherwise: from the same initial weights, on the same text in the same order, for as many
steps. It prints what a step moves, the held-out loss after each epoch, by how much the last one is
above float32's, and by how much it may be. float32 is trained several times: updates are
asynchronous, so that no two trainings are the same.

Deep Gradient Compression wants SGD without momentum, so it is beside SGD with momentum in float32,
which learns this model far more slowly than Adam does.
Sequences and vocabulary are smaller than the recipe's, to have all curves in half an hour.
"""

from __future__ import annotations

import dataclasses
import sys

import tyro
from typing_extensions import override

from benchmarks import launch, report
from benchmarks.learning.arguments import TextArguments, chosen
from benchmarks.learning.contenders import FLOAT32, Contender, contenders, train
from benchmarks.learning.lesson import Curve, order
from benchmarks.learning.results import Results, draw
from benchmarks.learning.text import Text, lesson

LEAST_STEPS = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(TextArguments):
    """Draw the learning curves of every codec on a local cluster, at equal examples."""

    codecs: tuple[str, ...] = ()
    """Whose curves to draw, beside those that they are compared with; without it, all. A name that
    does not exist is answered by all that do."""
    epochs: int = 5
    """Epochs; after each, the held-out loss is measured."""
    steps_per_epoch: int = 200
    """Steps in an epoch, those of all workers together."""
    float32_repeats: int = 3
    """How often float32 is trained with, at least."""

    @property
    def steps(self) -> int:
        """Steps of a training."""
        return self.epochs * self.steps_per_epoch

    @property
    def contenders(self) -> dict[str, Contender]:
        """Who takes part.

        Raises:
            ValueError: A name is not one of them.
        """
        return chosen(contenders(self.steps), self.codecs, "--codecs")

    @override
    def check(self) -> None:
        super().check()
        self.check_counts("float32_repeats")
        if self.steps < LEAST_STEPS:
            raise ValueError(
                f"--epochs times --steps-per-epoch is {self.steps}, but must be at least "
                f"{LEAST_STEPS}: some codecs warm up."
            )
        _ = self.contenders  # Raises, too.


def main() -> None:
    """Train on a cluster that this command starts, and publish."""
    arguments = tyro.cli(Arguments)
    if launch.serves_text():
        return
    text = launch.checked("learning", lambda: read(arguments))
    launch.on_local_cluster(
        lambda: measure(arguments, text), "benchmarks.learning", ps=2, workers=arguments.workers
    )


def read(arguments: Arguments) -> Text:
    """Check the arguments, and read the text."""
    arguments.check()
    return Text.read(arguments.gpt)


def measure(arguments: Arguments, text: Text) -> None:
    """Train all contenders on the cluster of TF_CONFIG, one after another, and publish."""
    what = lesson(arguments.gpt, text)
    everyone = arguments.contenders
    curves: dict[str, list[Curve]] = {name: [] for name in everyone}
    for name in order(list(curves), arguments.repeats, FLOAT32, arguments.float32_repeats):
        curve = train(everyone[name], what)
        curves[name].append(curve)
        print(f"{name}: {curve}", file=sys.stderr, flush=True)
    results = Results(
        contenders=everyone,
        curves=curves,
        examples=what.examples,
        scale=what.scale,
        kind="codec",
        versus="float32 with the same optimizer",
    )
    title = f"Held-out loss on {what.title}, {arguments.workers} workers of one thread, 2 ps"
    report.publish(results.tables(title), arguments.json, [results.each()])
    if arguments.plot is not None:
        draw([results], arguments.plot, within_percent=(1, 2))


if __name__ == "__main__":
    main()
