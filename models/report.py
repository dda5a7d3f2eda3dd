"""What a run shows of itself after each epoch: its metric beside a baseline, and a loss curve."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
from matplotlib.figure import Figure

from models.files import write_atomically
from models.pictures import png
from models.run_folder import RunFolder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Yardstick:
    """What a run is measured by on the held-out part: a metric, and what is trivially reached.

    Attributes:
        metric: The metric's name in Keras's logs, without `val_`.
        baseline: What the trivial model is, like "unigram distribution".
        baseline_value: The metric that it reaches on the held-out part.
        number_format: How the metric is printed, as a format specification.
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


class Beside(keras.callbacks.Callback):
    """Puts the baseline beside the model's metric, in the logs and in print.

    It comes before callbacks that write the logs.

    Args:
        yardstick: The metric and the baseline.
        epochs: Epochs of the whole job.
    """

    def __init__(self, yardstick: Yardstick, *, epochs: int) -> None:
        super().__init__()
        self._yardstick = yardstick
        self._epochs = epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add to the epoch's logs, which all callbacks share."""
        by = self._yardstick
        logs = logs if logs is not None else {}
        logs[by.column] = by.baseline_value
        print(
            f"epoch {epoch + 1}/{self._epochs}: "
            f"held-out {by.metric} {logs[f'val_{by.metric}']:{by.number_format}} "
            f"({by.baseline}: {by.baseline_value:{by.number_format}})",
            flush=True,
        )


class LossCurve(keras.callbacks.Callback):
    """Draws the loss curve anew after each epoch, from the history file."""

    def __init__(self, folder: RunFolder, yardstick: Yardstick) -> None:
        super().__init__()
        self._folder = folder
        self._yardstick = yardstick

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Draw all epochs so far, those before a resume included."""
        curve = loss_curve(self._folder.history(), self._yardstick)
        write_atomically(self._folder.curve_file, curve)


def loss_curve(history: Sequence[dict[str, float]], by: Yardstick) -> bytes:
    """Draw loss and held-out metric over the epochs.

    Args:
        history: Rows with `epoch` (from 0), `loss`, `val_loss` and the metric with `val_`.
        by: The metric and the baseline.

    Returns:
        A PNG file.
    """
    epochs = [row["epoch"] + 1 for row in history]
    figure = Figure(figsize=(10, 4), layout="constrained")
    loss, metric = figure.subplots(1, 2)
    loss.plot(epochs, [row["loss"] for row in history], marker="o", label="training")
    loss.plot(epochs, [row["val_loss"] for row in history], marker="o", label="held out")
    loss.set_ylabel(f"loss ({by.loss_unit})" if by.loss_unit else "loss")
    held_out = [row[f"val_{by.metric}"] for row in history]
    metric.plot(epochs, held_out, marker="o", label="model, held out")
    metric.axhline(
        by.baseline_value, color="gray", linestyle="--", label=f"{by.baseline}, held out"
    )
    metric.set_ylabel(f"{by.metric} (log scale)" if by.log_scale else by.metric)
    metric.set_yscale("log" if by.log_scale else "linear")
    for axes in (loss, metric):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    return png(figure)
