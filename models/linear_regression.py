"""Fit a line, y = theta0 + theta1 x, on a parameter server cluster: the recipe to read first.

Inside one process, or as a cluster of processes on one machine:

    python -m models.linear_regression
    tfps local --ps 2 --workers 2 -- python -m models.linear_regression

In each step a worker pulls theta from the ps, computes the gradient of the mean squared error over
all points and pushes it to the ps, where theta takes a step downhill. A table of your own comes
with --data houses.csv --x area --y price. Started again, the same command resumes after the last
epoch. What a run leaves, in runs/NAME, is listed in `RunFolder`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tyro

import tfps
from models import recipe
from models.files import write_atomically
from models.lines import Line, draw, table
from models.points import Points, diabetes, read_points
from models.run_folder import RunFolder
from models.settings import RunSettings
from models.update import policy
from models.wire import wire

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


def main() -> None:
    """Check on the chief what the user gave, then train there; evaluate or serve on other tasks."""
    recipe.run("linear_regression", tyro.cli(Settings), prepare, evaluate)


def prepare(settings: Settings) -> Callable[[], None]:
    """Read the points, before TensorFlow is imported, and return what is left to do."""
    return recipe.start_or_resume(settings, read(settings), train)


def read(settings: Settings) -> Points:
    """Read the columns that the settings name."""
    x, y = settings.x, settings.y
    return read_points(settings.data, x, y) if settings.data else diabetes(x, y)


def evaluate(settings: Settings) -> tfps.SidecarEvaluator:
    """Return what evaluates each epoch, beside the training."""
    points = read(settings)
    held_out = one_batch(points, *points.held_out)
    return recipe.side_car(settings, make_model(settings), held_out)


def train(settings: Settings, points: Points, folder: RunFolder) -> None:
    """Train on the cluster, and leave the results in the run's folder."""
    strategy = tfps.ParameterServerStrategy(**wire(settings), update=policy(settings.update))
    with strategy.scope():
        model = make_model(settings)  # Its theta lies on the ps,
    alone = make_model(settings)  # and this one's in this process: plain Keras.

    mean_of_y = Line(points.train[1].mean(), 0.0)
    callbacks = watch(settings, points, folder, mean_of_y)
    lines = {
        "tfps": fit(model, settings, points, callbacks),
        "plain Keras": fit(alone, settings, points),
        "closed form": closed_form(*points.train),
        "mean of y": mean_of_y,
    }
    write_atomically(folder.path / "line.png", draw(points, lines))
    recipe.finish(folder, table(points, lines))


def make_model(settings: Settings) -> keras.Model:
    """Make a line with theta = 0, to be fitted by gradient descent."""
    import keras

    line = keras.layers.Dense(1, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((1,)), line])
    model.compile(
        optimizer=keras.optimizers.SGD(settings.learning_rate),
        loss="mse",
        metrics=["mse"],
        steps_per_execution=settings.steps_per_execution,
    )
    return model


def fit(
    model: keras.Model,
    settings: Settings,
    points: Points,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Line:
    """Train a model where its variables lie, on the cluster or in this process."""
    model.fit(
        one_batch(points, *points.train).repeat(settings.steps_per_epoch),
        epochs=settings.epochs,
        validation_data=one_batch(points, *points.held_out),
        callbacks=list(callbacks),
        shuffle=False,
        verbose=0,
    )
    mean, deviation = scale(points)
    kernel, bias = (weight.item() for weight in model.get_weights())
    return Line(bias - kernel * mean / deviation, kernel / deviation)


def one_batch(points: Points, x: np.ndarray, y: np.ndarray) -> tf.data.Dataset:
    """Make a dataset of one batch, in which x is scaled."""
    import tensorflow as tf

    mean, deviation = scale(points)
    columns = (x - mean) / deviation, y
    return tf.data.Dataset.from_tensors(tuple(np.float32(c)[:, None] for c in columns))


def scale(points: Points) -> tuple[float, float]:
    """Return mean and deviation of x; gradient descent is fastest where they are 0 and 1."""
    x, _ = points.train
    return x.mean(), x.std()


def closed_form(x: np.ndarray, y: np.ndarray) -> Line:
    """Compute the line of least squares: theta1 = cov(x, y) / var(x), through the means."""
    theta1 = np.mean((x - x.mean()) * (y - y.mean())) / x.var()
    return Line(y.mean() - theta1 * x.mean(), theta1)


def watch(
    settings: Settings, points: Points, folder: RunFolder, mean_of_y: Line
) -> list[keras.callbacks.Callback]:
    """Make the callbacks that show and save a run, its error beside that of the mean of y."""
    from models.callbacks import make_callbacks
    from models.report import Yardstick

    x, y = points.held_out
    yardstick = Yardstick(
        metric="mse",
        baseline="mean of y",
        baseline_value=float(np.mean((y - mean_of_y(x)) ** 2)),
        number_format=".6g",
    )
    return make_callbacks(
        settings,
        folder,
        yardstick,
        steps_per_epoch=settings.steps_per_epoch,
        examples_per_step=len(points.train[0]),
    )


if __name__ == "__main__":
    main()
