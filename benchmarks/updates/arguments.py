"""What can be set where policies are compared by what they learn."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from typing_extensions import override

from benchmarks.learning.arguments import TextArguments
from benchmarks.learning.lesson import Lesson
from benchmarks.learning.text import Text
from benchmarks.updates.contenders import RATE_OF_MEANS, Contender
from models import bert_classifier
from models.lib.labelled_texts import LabelledTexts

Model = Literal["gpt", "classifier"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearningArguments(TextArguments, abc.ABC):
    """Compare policies by the held-out loss after as many examples."""

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
