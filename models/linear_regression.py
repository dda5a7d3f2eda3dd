"""Fit a line, y = theta0 + theta1 x, on a parameter server cluster: the recipe to read first.

    python -m models.linear_regression                                   # in one process
    tfps local --ps 2 --workers 2 -- python -m models.linear_regression  # one process per task

In each step a worker pulls theta from the ps, computes the gradient of the mean squared error over
all points and pushes it to the ps, where gradient descent updates theta. To fit your own table:
`--data houses.csv --x area --y price`. The same command again resumes after the last epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import tyro

import tfps
from models.lib import recipe
from models.lib.line import Line, Points, Settings, callbacks, closed_form, draw, read, table
from models.lib.run_folder import RunFolder

if TYPE_CHECKING:
    import keras


def train(settings: Settings, points: Points, folder: RunFolder) -> None:
    """Fit the line on the cluster, and compare it with three other lines."""
    strategy = tfps.ParameterServerStrategy(**settings.strategy_arguments())
    with strategy.scope():
        model = make_model(settings)  # Its theta lies on the ps.
    model.fit(
        points.train_batches(settings.steps_per_epoch),
        epochs=settings.epochs,
        validation_data=points.held_out_batch(),
        callbacks=callbacks(settings, points, folder),
        verbose=0,
    )

    plain = make_model(settings)  # Its theta lies in this process: plain Keras.
    batches = points.train_batches(settings.steps_per_epoch)
    plain.fit(batches, epochs=settings.epochs, shuffle=False, verbose=0)

    x, y = points.train
    lines = {
        "tfps": points.line(*model.get_weights()),
        "plain Keras": points.line(*plain.get_weights()),
        "closed form": closed_form(x, y),
        "mean of y": Line(y.mean(), 0.0),
    }
    folder.save("line.png", draw(points, lines))
    recipe.finish(folder, table(points, lines))


def make_model(settings: Settings) -> keras.Model:
    """Return a line with theta = 0, to be fitted by gradient descent."""
    import keras  # Not above: settings and data are checked before TensorFlow starts.

    line = keras.layers.Dense(1, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((1,)), line])
    descent = keras.optimizers.SGD(settings.learning_rate)
    steps_per_execution = settings.steps_per_execution
    model.compile(descent, loss="mse", metrics=["mse"], steps_per_execution=steps_per_execution)
    return model


def prepare(settings: Settings) -> Callable[[], None]:
    """Read the points, and return the function that starts or resumes the training."""
    return recipe.start_or_resume(settings, read(settings), train)


def evaluate(settings: Settings) -> tfps.SidecarEvaluator:
    """Return an evaluator that scores each epoch, beside the training."""
    return recipe.side_car(settings, make_model(settings), read(settings).held_out_batch())


def main() -> None:
    """Train on the chief, serve on a worker or ps, evaluate on an evaluator."""
    recipe.run("linear_regression", tyro.cli(Settings), prepare, evaluate)


if __name__ == "__main__":
    main()
