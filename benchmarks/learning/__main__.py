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
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import tyro

import tfps
from benchmarks import launch, report
from benchmarks.learning import plot
from benchmarks.learning.contenders import FLOAT32, chosen
from benchmarks.learning.results import Results
from benchmarks.learning.train import Curve, Text, train
from models.errors import InputError
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
    config = tfps.TFConfig.from_environment()
    if config is not None and config.task.type != "chief":
        importlib.import_module("tensorflow_text")  # The ops that tokenize, which workers run.
        tfps.run(lambda: None)
        return
    try:
        arguments.check()
        text = Text.read(arguments.settings)
    except (ValueError, InputError) as error:
        print(f"learning: {error}", file=sys.stderr)
        sys.exit(2)
    launch.on_local_cluster(
        lambda: measure(arguments, text), "benchmarks.learning", ps=2, workers=arguments.workers
    )


def measure(arguments: Arguments, text: Text) -> None:
    """Train all contenders on the cluster of TF_CONFIG, one after another, and publish."""
    settings = arguments.settings
    contenders = chosen(arguments.codecs, arguments.steps)
    curves: dict[str, list[Curve]] = {name: [] for name in contenders}
    for name in order(list(contenders), arguments.repeats, arguments.float32_repeats):
        curve = train(contenders[name], settings, text)
        curves[name].append(curve)
        losses = " ".join(f"{loss:.4f}" for loss in curve.losses)
        print(f"{name}: {losses} ({curve.seconds:.0f} s)", file=sys.stderr, flush=True)
    epoch_examples = arguments.steps_per_epoch * arguments.batch_size
    results = Results(
        contenders=contenders,
        curves=curves,
        examples=[epoch_examples * (epoch + 1) for epoch in range(arguments.epochs)],
        unigram_loss=text.unigram_loss,
    )
    title = (
        f"Held-out loss on {text.corpus.name}: {arguments.steps:,} steps of {arguments.batch_size} "
        f"x {arguments.sequence_length} tokens, {text.vocabulary.size} pieces, {arguments.workers} "
        "workers of one thread, 2 ps"
    )
    tables = [results.losses(title), results.spreads(), results.formats()]
    tables = [table for table in tables if table.rows]
    report.publish(tables, arguments.json, [results.each()])
    if arguments.plot is not None:
        plot.draw(results, arguments.plot)


def order(names: Sequence[str], repeats: int, float32_repeats: int) -> list[str]:
    """Return who is trained with, one after another: all in each round, then float32 alone."""
    alone = float32_repeats - repeats if FLOAT32 in names else 0
    return [*names] * repeats + [FLOAT32] * alone


if __name__ == "__main__":
    main()
