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
from pathlib import Path

import tyro

from benchmarks import launch, report
from benchmarks.learning import plot
from benchmarks.learning.contenders import FLOAT32, chosen
from benchmarks.learning.lesson import Curve, order
from benchmarks.learning.results import Results
from benchmarks.learning.text import Text, lesson
from benchmarks.learning.train import train
from models.gpt_lm import Settings

LEAST_STEPS = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Draw the learning curves of every codec on a local cluster, at equal examples."""

    codecs: tuple[str, ...] = ()
    """Whose curves to draw, beside those that they are compared with; without it, all. A name that
    does not exist is answered by all that do."""
    epochs: int = 5
    """Epochs; after each, the held-out loss is measured."""
    steps_per_epoch: int = 200
    """Steps in an epoch, those of all workers together."""
    batch_size: int = 16
    """Examples in a step."""
    sequence_length: int = 64
    """Tokens in an example."""
    vocabulary_size: int = 2048
    """SentencePiece pieces at most."""
    data: str | None = None
    """Glob pattern of text files, quoted; without it, Python's standard library."""
    repeats: int = 1
    """How often each codec is trained with; the medians are compared."""
    float32_repeats: int = 3
    """How often float32 is trained with, at least."""
    workers: int = 2
    """Workers, of one thread each."""
    json: Path | None = None
    """A file to write the numbers to."""
    plot: Path | None = None
    """A PNG file to draw the curves to."""

    @property
    def settings(self) -> Settings:
        """The recipe's settings."""
        return Settings(
            data=self.data,
            epochs=self.epochs,
            steps_per_epoch=self.steps_per_epoch,
            batch_size=self.batch_size,
            sequence_length=self.sequence_length,
            vocabulary_size=self.vocabulary_size,
        )

    @property
    def steps(self) -> int:
        """Steps of a training."""
        return self.epochs * self.steps_per_epoch

    def check(self) -> None:
        """Check the values.

        Raises:
            ValueError: Some cannot be.
        """
        self.settings.check()
        for name in ("repeats", "float32_repeats", "workers"):
            if getattr(self, name) < 1:
                option = name.replace("_", "-")
                raise ValueError(f"--{option} is {getattr(self, name)}, but must be at least 1.")
        if self.steps < LEAST_STEPS:
            raise ValueError(
                f"--epochs times --steps-per-epoch is {self.steps}, but must be at least "
                f"{LEAST_STEPS}: some codecs warm up."
            )
        chosen(self.codecs, self.steps)


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
    return Text.read(arguments.settings)


def measure(arguments: Arguments, text: Text) -> None:
    """Train all contenders on the cluster of TF_CONFIG, one after another, and publish."""
    what = lesson(arguments.settings, text)
    contenders = chosen(arguments.codecs, arguments.steps)
    curves: dict[str, list[Curve]] = {name: [] for name in contenders}
    for name in order(list(contenders), arguments.repeats, FLOAT32, arguments.float32_repeats):
        curve = train(contenders[name], what)
        curves[name].append(curve)
        print(f"{name}: {curve}", file=sys.stderr, flush=True)
    results = Results(
        contenders=contenders,
        curves=curves,
        examples=what.examples,
        scale=what.scale,
        kind="codec",
        versus="float32 with the same optimizer",
    )
    title = f"Held-out loss on {what.title}, {arguments.workers} workers of one thread, 2 ps"
    report.publish(results.tables(title), arguments.json, [results.each()])
    if arguments.plot is not None:
        plot.draw([results], arguments.plot, within_percent=(1, 2))


if __name__ == "__main__":
    main()
