"""How recipes train: the callbacks that show and save each epoch, and Adam for late gradients."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
from matplotlib.figure import Figure

import tfps
from models.lib.progress import Progress
from models.lib.run_folder import RunFolder
from models.lib.settings import RunSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Yardstick:
    """The metric that a run reports on the held-out part, and a trivial model's value of it.

    Attributes:
        metric: The metric's name in Keras's logs, without `val_`.
        baseline: Name of the trivial model, like "unigram distribution".
        baseline_value: The trivial model's metric on the held-out part.
        number_format: Format specification that the metric is printed with.
        log_scale: Whether the metric is drawn on a logarithmic scale.
        loss_unit: Unit of the loss, for the curve.
    """

    metric: str
    baseline: str
    baseline_value: float
    number_format: str = ".3f"
    log_scale: bool = False
    loss_unit: str = ""

    @property
    def column(self) -> str:
        """The baseline's name in the logs and in history.csv."""
        return f"baseline_{self.metric}"


def make_callbacks(
    settings: RunSettings,
    folder: RunFolder,
    yardstick: Yardstick,
    *,
    steps_per_epoch: int,
    examples_per_step: int,
) -> list[keras.callbacks.Callback]:
    """Return the callbacks that show and save a run, in the order in which they must run.

    Args:
        settings: Settings of the run.
        folder: Folder of the run.
        yardstick: The held-out metric and the baseline to show beside it.
        steps_per_epoch: Steps of an epoch, those of all workers together.
        examples_per_step: Examples in a step's batch.
    """
    held_out_losses = [row["val_loss"] for row in folder.history()]
    return [
        Progress(
            epochs=settings.epochs,
            steps_per_epoch=steps_per_epoch,
            examples_per_step=examples_per_step,
        ),
        CompareWithBaseline(yardstick, epochs=settings.epochs),
        keras.callbacks.CSVLogger(folder.history_file, append=True),
        keras.callbacks.TensorBoard(folder.tensorboard_folder, write_graph=False),
        LossCurve(folder, yardstick),
        tfps.ReportMetric("val_loss"),
        keras.callbacks.ModelCheckpoint(
            folder.best_file,
            save_best_only=True,
            save_weights_only=True,
            initial_value_threshold=min(held_out_losses, default=None),
        ),
        # Last: a saved epoch is not trained again, so all other callbacks must have finished.
        keras.callbacks.BackupAndRestore(
            folder.backup_folder, double_checkpoint=True, delete_checkpoint=False
        ),
    ]


class CompareWithBaseline(keras.callbacks.Callback):
    """Prints the model's metric and the baseline, and adds the baseline to the logs.

    It must come before the callbacks that write the logs.

    Args:
        yardstick: The metric and the baseline.
        epochs: Epochs of the whole job.
    """

    def __init__(self, yardstick: Yardstick, *, epochs: int) -> None:
        super().__init__()
        self._yardstick = yardstick
        self._epochs = epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the baseline to the epoch's logs, which all callbacks share."""
        yardstick, number = self._yardstick, self._yardstick.number_format
        logs = logs if logs is not None else {}
        logs[yardstick.column] = yardstick.baseline_value
        print(
            f"epoch {epoch + 1}/{self._epochs}: "
            f"held-out {yardstick.metric} {logs[f'val_{yardstick.metric}']:{number}} "
            f"({yardstick.baseline}: {yardstick.baseline_value:{number}})",
            flush=True,
        )


class LossCurve(keras.callbacks.Callback):
    """Draws the loss curve after each epoch, from the history file."""

    def __init__(self, folder: RunFolder, yardstick: Yardstick) -> None:
        super().__init__()
        self._folder = folder
        self._yardstick = yardstick

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Draw all epochs so far, those before a resume included."""
        curve = loss_curve(self._folder.history(), self._yardstick)
        self._folder.save(self._folder.curve_file.name, curve)


def loss_curve(history: Sequence[dict[str, float]], yardstick: Yardstick) -> Figure:
    """Draw loss and held-out metric over the epochs.

    Args:
        history: Rows with `epoch` (from 0), `loss`, `val_loss` and the metric with `val_`.
        yardstick: The metric and the baseline.
    """
    epochs = [row["epoch"] + 1 for row in history]
    figure = Figure(figsize=(10, 4), layout="constrained")
    loss, metric = figure.subplots(1, 2)
    loss.plot(epochs, [row["loss"] for row in history], marker="o", label="training")
    loss.plot(epochs, [row["val_loss"] for row in history], marker="o", label="held out")
    loss.set_ylabel(f"loss ({yardstick.loss_unit})" if yardstick.loss_unit else "loss")
    held_out = [row[f"val_{yardstick.metric}"] for row in history]
    metric.plot(epochs, held_out, marker="o", label="model, held out")
    metric.axhline(
        yardstick.baseline_value,
        color="gray",
        linestyle="--",
        label=f"{yardstick.baseline}, held out",
    )
    metric.set_ylabel(
        f"{yardstick.metric} (log scale)" if yardstick.log_scale else yardstick.metric
    )
    metric.set_yscale("log" if yardstick.log_scale else "linear")
    for axes in (loss, metric):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def adam(learning_rate: float, steps: int, *, global_clipnorm: float) -> keras.optimizers.Optimizer:
    """Return an Adam for gradients that arrive late.

    With several workers, each gradient misses about one update of every other worker. Adam's
    default moving averages are long, and oscillate on such gradients: with them, two workers learn
    half as fast as one.

    Args:
        learning_rate: The highest learning rate of `schedule`.
        steps: Steps of the whole job, those of all workers together.
        global_clipnorm: The largest norm of all gradients together.
    """
    rate = schedule(learning_rate, steps)
    return keras.optimizers.Adam(rate, beta_1=0.5, beta_2=0.95, global_clipnorm=global_clipnorm)


def schedule(
    learning_rate: float, steps: int, warmup_steps: int | None = None
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return a learning rate that rises linearly, then falls as a cosine to a tenth.

    Args:
        learning_rate: The highest learning rate.
        steps: Steps of the whole job, those of all workers together.
        warmup_steps: Steps of the rise; None for 100, or a tenth of fewer than 1,000.
    """
    if warmup_steps is None:
        warmup_steps = min(100, steps // 10)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=learning_rate,
        warmup_steps=warmup_steps,
        decay_steps=steps - warmup_steps,
        alpha=0.1,
    )
