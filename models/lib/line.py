"""What `linear_regression` fits and draws: points from a table, and lines. No TensorFlow here."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from models.lib.examples import Examples
from models.lib.inputs import Faults, InputError, Row, read_rows
from models.lib.run_folder import RunFolder
from models.lib.settings import RunSettings

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(RunSettings):
    """Fit a line, y = theta0 + theta1 x, to two columns of a table."""

    data: Path | None = None
    """CSV, TSV or JSONL file with named columns; without it, scikit-learn's diabetes data."""
    x: str = "bmi"
    """Name of the column of x."""
    y: str = "target"
    """Name of the column of y."""
    name: str = "linear_regression"
    """Name of the run: its results go to runs/NAME."""
    epochs: int = 5
    """Epochs of steps-per-epoch steps; after each, the model is validated and saved."""
    steps_per_epoch: int = 100
    """Steps in an epoch, those of all workers together; each takes all points."""
    learning_rate: float = 0.02
    """Step size of gradient descent; more than 30 workers need less."""


class Line(NamedTuple):
    """The line y = theta0 + theta1 x."""

    theta0: float
    theta1: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Compute y."""
        return self.theta0 + self.theta1 * x

    def mse(self, x: np.ndarray, y: np.ndarray) -> float:
        """Compute the mean squared error of the line at points."""
        return float(np.mean((y - self(x)) ** 2))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Points(Examples):
    """Points to fit a line to: x and y are `(points,)` float64.

    Models see x scaled to mean 0 and standard deviation 1, where gradient descent is fastest.

    Attributes:
        x_name: What x is.
        y_name: What y is.
    """

    x_name: str
    y_name: str

    def train_batches(self, steps: int) -> tf.data.Dataset:
        """Return one batch of all training points, for each of `steps` steps."""
        return self._one_batch(*self.train).repeat(steps)

    def held_out_batch(self) -> tf.data.Dataset:
        """Return one batch of all held-out points."""
        return self._one_batch(*self.held_out)

    def line(self, kernel: np.ndarray, bias: np.ndarray) -> Line:
        """Return the line that a dense layer's weights describe, in the units of the table."""
        x, _ = self.train
        theta1 = kernel.item() / x.std()
        return Line(bias.item() - kernel.item() * x.mean() / x.std(), theta1)

    def _one_batch(self, x: np.ndarray, y: np.ndarray) -> tf.data.Dataset:
        import tensorflow as tf

        train_x, _ = self.train
        columns = (x - train_x.mean()) / train_x.std(), y
        return tf.data.Dataset.from_tensors(
            tuple(np.float32(column)[:, None] for column in columns)
        )


def read(settings: Settings) -> Points:
    """Read the columns that the settings name."""
    x, y = settings.x, settings.y
    return read_points(settings.data, x, y) if settings.data else diabetes(x, y)


def diabetes(x: str, y: str) -> Points:
    """Take two columns of scikit-learn's diabetes data, 442 patients.

    Raises:
        InputError: There is no such column.
    """
    from sklearn import datasets

    bunch = datasets.load_diabetes(scaled=False)
    columns = {**dict(zip(bunch.feature_names, bunch.data.T, strict=True)), "target": bunch.target}
    for option, name in (("--x", x), ("--y", y)):
        if name not in columns:
            names = ", ".join(columns)
            raise InputError(
                f"{option} is {name!r}, but scikit-learn's diabetes data have {names}."
            )
    return _checked("scikit-learn's diabetes data", x, y, columns[x], columns[y])


def read_points(path: Path, x: str, y: str) -> Points:
    """Read two columns of a CSV, TSV or JSONL file.

    Raises:
        InputError: The file cannot be read, a value is not a number, or no line can be fitted.
    """
    faults = Faults(path)
    rows = read_rows(path, [x, y], hint="Name them by --x and --y.")
    columns = [[_number(row, name, faults) for row in rows] for name in (x, y)]
    faults.check()
    return _checked(str(path), x, y, *np.array(columns))


def _number(row: Row, column: str, faults: Faults) -> float:
    value = row.fields[column]
    try:
        number = float(value)
    except (OverflowError, TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        faults.add(
            row.line,
            f"{column!r} is {value!r}, but must be a number, like -1.5 or 2e3. Correct it, or "
            "remove the line.",
        )
    return number


def _checked(name: str, x: str, y: str, x_values: np.ndarray, y_values: np.ndarray) -> Points:
    points = Points(name=name, x_name=x, y_name=y, x=x_values, y=y_values)
    different = len(np.unique(points.train[0]))
    if different < 2:
        raise InputError(
            f"{name}: the points to train on have {different} different values of {x!r}; a line "
            "needs 2. Give more data, or another column to --x."
        )
    return points


def closed_form(x: np.ndarray, y: np.ndarray) -> Line:
    """Compute the line of least squares: theta1 = cov(x, y) / var(x), through the means."""
    theta1 = np.mean((x - x.mean()) * (y - y.mean())) / x.var()
    return Line(y.mean() - theta1 * x.mean(), theta1)


def callbacks(
    settings: Settings, points: Points, folder: RunFolder
) -> list[keras.callbacks.Callback]:
    """Return the callbacks that show and save a run, its error beside that of the mean of y."""
    from models.lib.training import Yardstick, make_callbacks

    _, y = points.train
    yardstick = Yardstick(
        metric="mse",
        baseline="mean of y",
        baseline_value=Line(y.mean(), 0.0).mse(*points.held_out),
        number_format=".6g",
    )
    return make_callbacks(
        settings,
        folder,
        yardstick,
        steps_per_epoch=settings.steps_per_epoch,
        examples_per_step=len(y),
    )


def table(points: Points, lines: Mapping[str, Line]) -> str:
    """Compare lines by mean squared error and R2 on the held-out points."""
    x, y = points.held_out
    rows = [f"{'':12}{'theta0':>12}{'theta1':>12}{'MSE':>12}{'R2':>8}"]
    for name, line in lines.items():
        mse = line.mse(x, y)
        r2 = 1 - mse / y.var() if y.var() else np.nan
        rows.append(f"{name:12}{line.theta0:12.7g}{line.theta1:12.7g}{mse:12.6g}{r2:8.3f}")
    return "\n".join(rows)


def draw(points: Points, lines: Mapping[str, Line]) -> Figure:
    """Draw the points, and the lines over the range of x."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.scatter(*points.train, s=8, color="lightgray", label="points trained on")
    axes.scatter(*points.held_out, s=8, color="gray", label="points held out")
    ends = np.array([points.x.min(), points.x.max()])
    for (name, line), style in zip(lines.items(), itertools.cycle(("-", "--", ":", "-."))):
        axes.plot(ends, line(ends), linestyle=style, label=name)
    axes.set(xlabel=points.x_name, ylabel=points.y_name)
    axes.legend()
    return figure
