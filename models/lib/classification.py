"""How good a text classifier is: accuracy, F1 per class, confusion, and plain Keras beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import keras_nlp
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from models.lib.bert import training_batches
from models.lib.labelled_texts import LabelledTexts
from models.lib.progress import Progress
from models.lib.training import Yardstick

_NUMBERED_CLASSES = 12  # With more classes, numbers in the picture would be unreadable.


@dataclasses.dataclass(frozen=True)
class ClassificationReport:
    """The confusion matrix of a classifier, and what follows from it.

    Attributes:
        classes: Names of the classes.
        confusion: `(classes, classes)` int64: `confusion[i, j]` examples of class i were predicted
            to be of class j.
    """

    classes: Sequence[str]
    confusion: np.ndarray

    @classmethod
    def of(
        cls, classes: Sequence[str], labels: np.ndarray, predicted: np.ndarray
    ) -> ClassificationReport:
        """Return the report of some predictions.

        Args:
            classes: Names of the classes.
            labels: `(examples,)`, the true classes.
            predicted: `(examples,)`, the predicted classes.
        """
        confusion = np.zeros((len(classes), len(classes)), np.int64)
        np.add.at(confusion, (labels, predicted), 1)
        return cls(classes, confusion)

    @property
    def accuracy(self) -> float:
        """Return the fraction of the examples whose class was predicted."""
        return float(self.confusion.trace() / self.confusion.sum())

    @property
    def f1(self) -> np.ndarray:
        """Return F1 per class, `(classes,)`; 0 for a class without examples and predictions."""
        relevant, predicted = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        return 2.0 * self.confusion.diagonal() / np.maximum(relevant + predicted, 1)

    @property
    def headline(self) -> str:
        """Return accuracy and mean F1 in one line."""
        return f"accuracy {self.accuracy:.3f}, mean F1 {self.f1.mean():.3f}"

    @property
    def table(self) -> str:
        """Return a table with F1 and number of texts per class."""
        width = max(len(name) for name in ("class", *self.classes))
        rows = zip(self.classes, self.f1, self.confusion.sum(axis=1), strict=True)
        lines = [f"{name:{width}}  {f1:.3f}  {count:5}" for name, f1, count in rows]
        return "\n".join([f"{'class':{width}}     F1  texts", *lines])

    def draw(self) -> Figure:
        """Draw the confusion matrix; shades are fractions of a class's examples."""
        count = len(self.classes)
        side = 2.5 + 0.5 * min(count, 40)
        figure = Figure(figsize=(side + 1, side), layout="constrained")
        axes = figure.subplots()
        shares = self.confusion / np.maximum(self.confusion.sum(axis=1, keepdims=True), 1)
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        figure.colorbar(image, label="share of the class", shrink=0.8)
        # Class names are plain text: a dollar sign must not start a formula.
        axes.set_xticks(range(count), self.classes, rotation=90, parse_math=False)
        axes.set_yticks(range(count), self.classes, parse_math=False)
        axes.set_xlabel("given class")
        axes.set_ylabel("class")
        axes.set_title(self.headline)
        if count <= _NUMBERED_CLASSES:
            for (row, column), number in np.ndenumerate(self.confusion):
                color = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(number), ha="center", va="center", color=color)
        return figure


def yardstick(data: LabelledTexts) -> Yardstick:
    """Return accuracy as the metric, with the most frequent class as baseline."""
    return Yardstick(
        metric="accuracy",
        baseline="most frequent class",
        baseline_value=data.most_frequent_accuracy,
        loss_unit="nats per text",
    )


def measure(
    model: keras_nlp.models.BertTextClassifier, data: LabelledTexts, *, batch_size: int
) -> ClassificationReport:
    """Return the report of a model on the held-out texts, computed where its weights lie."""
    texts = np.array(data.held_out.texts, dtype=object)
    logits = np.asarray(model.predict(texts, batch_size=batch_size, verbose=0))
    return ClassificationReport.of(data.classes, data.held_out.labels, logits.argmax(axis=-1))


def save_preset(
    model: keras_nlp.models.BertTextClassifier,
    copy: keras_nlp.models.BertTextClassifier,
    folder: Path,
) -> None:
    """Save a model in the form that keras-nlp's `from_preset` reads.

    Args:
        model: The trained model.
        copy: A model like it, whose variables lie in this process.
        folder: Where to save; LoRA is merged into the weights there.
    """
    copy.set_weights(model.get_weights())
    copy.save_to_preset(str(folder))


def compare_with_plain_keras(
    model: keras_nlp.models.BertTextClassifier,
    report: ClassificationReport,
    data: LabelledTexts,
    *,
    epochs: int,
    steps_per_epoch: int,
    batch_size: int,
    seed: int,
) -> str:
    """Train an equal model by plain Keras in this process, and return both results as text.

    Args:
        model: An equal, untrained model whose variables lie in this process.
        report: The report of the model that the cluster trained on as many texts.
        data: The texts.
        epochs: Epochs to train.
        steps_per_epoch: Steps of an epoch.
        batch_size: Texts in a step.
        seed: Seed of the order of the texts.
    """
    texts = epochs * steps_per_epoch * batch_size
    print(f"training by plain Keras in one process on {texts:,} texts too", flush=True)
    batches = training_batches(data.train, batch_size=batch_size, seed=seed)
    progress = Progress(
        epochs=epochs, steps_per_epoch=steps_per_epoch, examples_per_step=batch_size
    )
    model.fit(
        batches(tf.distribute.InputContext()),
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        shuffle=False,  # The dataset is shuffled already.
        callbacks=[progress],
        verbose=0,
    )
    plain = measure(model, data, batch_size=batch_size)
    return (
        f"after {texts:,} texts:\n"
        f"  tfps         {report.headline}\n"
        f"  plain Keras  {plain.headline}\n"
    )
