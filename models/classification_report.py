"""How well a classifier does: accuracy, F1 per class, and a picture of what it mixes up."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from models.pictures import png

_NUMBERED_CLASSES = 12  # With more, the numbers in the picture would not be readable.


@dataclasses.dataclass(frozen=True)
class ClassificationReport:
    """Which class was given to the examples of which class.

    Attributes:
        classes: The classes' names.
        confusion: `(classes, classes)` int64: of the examples of class i, `confusion[i, j]` were
            given class j.
    """

    classes: Sequence[str]
    confusion: np.ndarray

    @classmethod
    def of(
        cls, classes: Sequence[str], labels: np.ndarray, predicted: np.ndarray
    ) -> ClassificationReport:
        """Count.

        Args:
            classes: The classes' names.
            labels: `(examples,)`, the true class of each.
            predicted: `(examples,)`, the class that the model gave to each.
        """
        confusion = np.zeros((len(classes), len(classes)), np.int64)
        np.add.at(confusion, (labels, predicted), 1)
        return cls(classes, confusion)

    @property
    def accuracy(self) -> float:
        """Return the share of the examples that were given their class."""
        return float(self.confusion.trace() / self.confusion.sum())

    @property
    def f1(self) -> np.ndarray:
        """Return each class's F1: `(classes,)`, 0 for one that is neither there nor given."""
        relevant, given = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        return 2.0 * self.confusion.diagonal() / np.maximum(relevant + given, 1)

    @property
    def headline(self) -> str:
        """Say what is reached, in one line."""
        return f"accuracy {self.accuracy:.3f}, mean F1 {self.f1.mean():.3f}"

    @property
    def table(self) -> str:
        """Put the classes below each other, each with its F1 and its number of texts."""
        width = max(len(name) for name in ("class", *self.classes))
        rows = zip(self.classes, self.f1, self.confusion.sum(axis=1), strict=True)
        lines = [f"{name:{width}}  {f1:.3f}  {count:5}" for name, f1, count in rows]
        return "\n".join([f"{'class':{width}}     F1  texts", *lines])

    def draw(self) -> bytes:
        """Draw the confusion matrix as a PNG file; shades are shares of a class's examples."""
        count = len(self.classes)
        side = 2.5 + 0.5 * min(count, 40)
        figure = Figure(figsize=(side + 1, side), layout="constrained")
        axes = figure.subplots()
        shares = self.confusion / np.maximum(self.confusion.sum(axis=1, keepdims=True), 1)
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        figure.colorbar(image, label="share of the class", shrink=0.8)
        # A class's name is text: a dollar sign in it starts no formula.
        axes.set_xticks(range(count), self.classes, rotation=90, parse_math=False)
        axes.set_yticks(range(count), self.classes, parse_math=False)
        axes.set_xlabel("given class")
        axes.set_ylabel("class")
        axes.set_title(self.headline)
        if count <= _NUMBERED_CLASSES:
            for (row, column), number in np.ndenumerate(self.confusion):
                color = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(number), ha="center", va="center", color=color)
        return png(figure)
