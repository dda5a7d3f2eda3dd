"""Train a multilayer perceptron, 784-64-10, on images of digits, on a parameter server cluster.

Inside one process, or as a cluster of processes on one machine:

    python -m models.mlp
    tfps local --ps 2 --workers 2 -- python -m models.mlp

To train on your own images, give --data images.npz (NumPy arrays x and y), or IDX files like those
of MNIST: --data train-images-idx3-ubyte.gz --labels train-labels-idx1-ubyte.gz. The chief reads
them and sends each worker its share. The same command again resumes after the last epoch.
`RunFolder` lists the files that a run writes to runs/NAME.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import tyro

import tfps
from models.lib import recipe
from models.lib.images import CLASSES, SIDE, Images, digits, draw_predictions, read_idx, read_npz
from models.lib.inputs import InputError
from models.lib.run_folder import RunFolder
from models.lib.settings import RunSettings

if TYPE_CHECKING:
    import keras

HIDDEN_UNITS = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(RunSettings):
    """Train a multilayer perceptron on images of 28 x 28. Started again, a run resumes."""

    MAY_CHANGE: ClassVar = RunSettings.MAY_CHANGE | {"labels"}

    data: Path | None = None
    """NumPy archive with x (images of 28 x 28) and y (labels from 0 to 9), or IDX file of images;
    without it, scikit-learn's digits."""
    labels: Path | None = None
    """IDX file of labels, where --data is an IDX file of images."""
    name: str = "mlp"
    """Name of the run: its results go to runs/NAME."""
    epochs: int = 10
    """Rounds over the training images; after each, the model is validated and saved."""
    batch_size: int = 32
    """Images in a step."""
    learning_rate: float = 0.1
    """Learning rate of stochastic gradient descent."""
    seed: int = 0
    """Seed of the initial weights and the order of the images."""


def main() -> None:
    """Train on the chief, serve on a worker or ps, evaluate on an evaluator."""
    recipe.run("mlp", tyro.cli(Settings), prepare, evaluate)


def prepare(settings: Settings) -> Callable[[], None]:
    """Read the images, and return the function that starts or resumes the training."""
    return recipe.start_or_resume(settings, read(settings.data, settings.labels), train)


def evaluate(settings: Settings) -> tfps.SidecarEvaluator:
    """Return an evaluator that scores each epoch, beside the training."""
    images = read(settings.data, settings.labels)
    return recipe.side_car(settings, make_model(settings), images.held_out)


def read(data: Path | None, labels: Path | None) -> Images:
    """Read the images that the settings name.

    Raises:
        InputError: They cannot be used.
    """
    if data is None and labels is None:
        return digits()
    if data is None or (labels is None) != (data.suffix == ".npz"):
        raise InputError(
            f"--data is {data} and --labels is {labels}, but must be one .npz file to --data "
            "alone, or two IDX files: images to --data and labels to --labels."
        )
    return read_idx(data, labels) if labels else read_npz(data)


def train(settings: Settings, images: Images, folder: RunFolder) -> None:
    """Train on the cluster, and compare the result with plain Keras and a trivial model."""
    strategy = tfps.ParameterServerStrategy(**settings.strategy_arguments())
    with strategy.scope():
        model = make_model(settings)  # Its weights lie on the ps.
    fit(model, settings, images, callbacks(settings, images, folder))
    plain = make_model(settings)  # Its weights lie in this process: plain Keras.
    fit(plain, settings, images)

    x, y = images.held_out
    predicted = predict(model, x)
    accuracies = {
        "tfps": np.mean(predicted == y),
        "plain Keras": np.mean(predict(plain, x) == y),
        "most frequent class": images.most_frequent_accuracy,
    }
    folder.save("predictions.png", draw_predictions(x, y, predicted))
    rows = [f"{name:20}{accuracy:9.3f}" for name, accuracy in accuracies.items()]
    recipe.finish(folder, "\n".join([f"{f'after {settings.epochs} epochs':20} accuracy", *rows]))


def make_model(settings: Settings) -> keras.Model:
    """Return an untrained model, with the same initial weights at each call."""
    import keras

    keras.utils.set_random_seed(settings.seed)
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE)),
            keras.layers.Flatten(),
            keras.layers.Dense(HIDDEN_UNITS, activation="relu"),
            keras.layers.Dense(CLASSES),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.SGD(settings.learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=settings.steps_per_execution,
    )
    return model


def fit(
    model: keras.Model,
    settings: Settings,
    images: Images,
    callbacks: list[keras.callbacks.Callback] | None = None,
) -> None:
    """Train a model where its weights lie, on the cluster or in this process."""
    model.fit(
        *images.train,
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        validation_data=images.held_out,
        callbacks=callbacks,
        verbose=0,
    )


def predict(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Predict the labels of images, `(images,)` int64."""
    return np.asarray(model.predict(x, verbose=0)).argmax(axis=-1)


def callbacks(
    settings: Settings, images: Images, folder: RunFolder
) -> list[keras.callbacks.Callback]:
    """Return the callbacks that show and save a run, with the most frequent class as baseline."""
    from models.lib.training import Yardstick, make_callbacks

    yardstick = Yardstick(
        metric="accuracy",
        baseline="most frequent class",
        baseline_value=images.most_frequent_accuracy,
    )
    return make_callbacks(
        settings,
        folder,
        yardstick,
        steps_per_epoch=math.ceil(len(images.train[0]) / settings.batch_size),
        examples_per_step=settings.batch_size,
    )


if __name__ == "__main__":
    main()
