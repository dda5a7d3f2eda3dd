"""What can be set where policies are compared by what they learn."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from benchmarks.learning.lesson import Lesson
from benchmarks.learning.text import Text
from benchmarks.updates.contenders import Contender
from models import bert_classifier, gpt_lm
from models.labelled_texts import LabelledTexts

Model = Literal["gpt", "classifier"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearningArguments(abc.ABC):
    """Compare policies by the held-out loss after as many examples."""

    policies: tuple[str, ...] = ()
    """Who takes part, beside those that they are compared with; without it, all. A name that does
    not exist is answered by all that do."""
    models: tuple[Model, ...] = ("gpt", "classifier")
    """What is trained: models/gpt_lm.py and models/bert_classifier.py."""
    epochs: int = 4
    """Epochs; after each, the held-out loss is measured."""
    steps_per_epoch: int = 256
    """Steps in an epoch, batches of single workers; local steps want a multiple of workers x 16."""
    batch_size: int = 16
    """Examples in a step of the GPT."""
    sequence_length: int = 64
    """Tokens in an example of the GPT."""
    vocabulary_size: int = 2048
    """SentencePiece pieces of the GPT at most."""
    data: str | None = None
    """Glob pattern of text files for the GPT, quoted; without it, Python's standard library."""
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
    repeats: int = 1
    """How often each is trained with; the medians are compared."""
    workers: int = 2
    """Workers, of one thread each."""
    json: Path | None = None
    """A file to write the numbers to."""
    plot: Path | None = None
    """A PNG file to draw the curves to."""

    @property
    @abc.abstractmethod
    def contenders(self) -> dict[str, Contender]:
        """Who takes part.

        Raises:
            ValueError: A name is not one of them.
        """

    @property
    def gpt(self) -> gpt_lm.Settings:
        """The GPT's settings."""
        return gpt_lm.Settings(
            data=self.data,
            epochs=self.epochs,
            steps_per_epoch=self.steps_per_epoch,
            batch_size=self.batch_size,
            sequence_length=self.sequence_length,
            vocabulary_size=self.vocabulary_size,
        )

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

    def check(self) -> None:
        """Check the values.

        Raises:
            ValueError: Some cannot be.
        """
        self.gpt.check()
        self.classifier.check()
        for name in ("classifier_steps_per_epoch", "repeats", "workers"):
            if getattr(self, name) < 1:
                option = name.replace("_", "-")
                raise ValueError(f"--{option} is {getattr(self, name)}, but must be at least 1.")
        if not self.models:
            raise ValueError("--models is empty: name one, or leave it out.")
        if len(self.contenders) < 2:
            raise ValueError("--policies has nobody to compare with others: name more.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """What is trained on, by model; None for one that is not trained.

    Attributes:
        text: Of the GPT.
        labelled: Of the classifier.
    """

    text: Text | None
    labelled: LabelledTexts | None

    @classmethod
    def read(cls, arguments: LearningArguments) -> Data:
        """Check the arguments, and read what they ask for.

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
