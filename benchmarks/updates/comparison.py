"""Policies compared by what they learn: the command's options, the training, and the tables."""

from __future__ import annotations

import abc
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from typing_extensions import override

from benchmarks import report
from benchmarks.learning.arguments import TextArguments
from benchmarks.learning.lesson import Curve, Lesson, order
from benchmarks.learning.results import Results
from benchmarks.learning.text import Text
from benchmarks.updates.contenders import ASYNCHRONOUS, RATE_OF_MEANS, Contender, train
from models import bert_classifier
from models.lib.labelled_texts import LabelledTexts
from tfps.training.history import total

Model = Literal["gpt", "classifier"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearningArguments(TextArguments, abc.ABC):
    """Compare policies by the held-out loss after the same number of examples."""

    policies: tuple[str, ...] = ()
    """Who takes part, beside those that they are compared with; without it, all. A name that does
    not exist is answered by all that do."""
    models: tuple[Model, ...] = ("gpt", "classifier")
    """What is trained: models/gpt_lm.py and models/bert_classifier.py."""
    epochs: int = 4
    """Epochs; after each, the held-out loss is measured."""
    rate_of_means: float = RATE_OF_MEANS
    """Times the recipe's learning rate, where an update is a mean: of batches, or of what local
    steps have moved."""
    classifier_steps_per_epoch: int = 128
    """Steps in an epoch of the classifier."""
    classifier_batch_size: int = 32
    """Texts in a step of the classifier."""
    classifier_data: Path | None = None
    """CSV, TSV or JSONL file for the classifier; without it, the recipe's passages."""
    classifier_test_data: Path | None = None
    """File to test the classifier on; without it, a tenth of the texts is held out."""
    classifier_text_column: tuple[str, ...] = ("text",)
    """Column of the text; several are joined by a space."""
    classifier_label_column: str = "label"
    """Column of the label."""
    classifier_columns: tuple[str, ...] = ()
    """Names of all columns, for CSV and TSV files without a header line."""

    @property
    @abc.abstractmethod
    def contenders(self) -> dict[str, Contender]:
        """Who takes part.

        Raises:
            ValueError: A name is not one of them.
        """

    @property
    def classifier(self) -> bert_classifier.Settings:
        """The classifier's settings."""
        return bert_classifier.Settings(
            data=self.classifier_data,
            test_data=self.classifier_test_data,
            text_column=self.classifier_text_column,
            label_column=self.classifier_label_column,
            columns=self.classifier_columns,
            epochs=self.epochs,
            batch_size=self.classifier_batch_size,
        )

    @override
    def check(self) -> None:
        super().check()
        self.classifier.check()
        self.check_counts("classifier_steps_per_epoch")
        if self.rate_of_means <= 0:
            raise ValueError(f"--rate-of-means is {self.rate_of_means}, but must be above 0.")
        if not self.models:
            raise ValueError("--models is empty: name one, or leave it out.")
        if len(self.contenders) < 2:
            raise ValueError("--policies has nobody to compare with others: name more.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """The data of each model; None for a model that is not trained.

    Attributes:
        text: Of the GPT.
        labelled: Of the classifier.
    """

    text: Text | None
    labelled: LabelledTexts | None

    @classmethod
    def read(cls, arguments: LearningArguments) -> Data:
        """Check the arguments, and read the data that they name.

        Raises:
            ValueError: Some arguments or files cannot be used.
        """
        arguments.check()
        models = arguments.models
        return cls(
            text=Text.read(arguments.gpt) if "gpt" in models else None,
            labelled=(
                bert_classifier.read(arguments.classifier) if "classifier" in models else None
            ),
        )

    def lessons(self, arguments: LearningArguments) -> Mapping[str, Lesson]:
        """Return what is learned, by the name of the model."""
        from benchmarks.learning import text
        from benchmarks.updates import classifier

        lessons = {}
        if self.text is not None:
            lessons["GPT"] = text.lesson(arguments.gpt, self.text)
        if self.labelled is not None:
            lessons["BERT classifier"] = classifier.lesson(
                arguments.classifier, self.labelled, arguments.classifier_steps_per_epoch
            )
        return lessons


def compare(
    arguments: LearningArguments,
    data: Data,
    contenders: Mapping[str, Contender],
    *,
    versus: str,
    asynchronous_repeats: int = 1,
) -> list[tuple[Lesson, Results]]:
    """Train all contenders on all models, and return the results of each model.

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
    """Return the tables of all models, and at the end the contenders' settings."""
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
