"""What a run shows of itself at the end of each epoch: held-out perplexity, and a loss curve."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import keras
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from models.files import write_atomically
from models.run_folder import RunFolder


class Unigram(keras.callbacks.Callback):
    """Puts the unigram distribution's perplexity beside the model's, in the logs and in print.

    It comes before callbacks that write the logs.

    Args:
        perplexity: Of the unigram distribution on the held-out text.
        epochs: Epochs of the whole job.
    """

    def __init__(self, perplexity: float, *, epochs: int) -> None:
        super().__init__()
        self._perplexity = perplexity
        self._epochs = epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add to the epoch's logs, which all callbacks share."""
        logs = logs if logs is not None else {}
        logs["unigram_perplexity"] = self._perplexity
        print(
            f"epoch {epoch + 1}/{self._epochs}: held-out perplexity {logs['val_perplexity']:.1f} "
            f"(unigram distribution: {self._perplexity:.1f})",
            flush=True,
        )


class LossCurve(keras.callbacks.Callback):
    """Draws the loss curve anew after each epoch, from the history file."""

    def __init__(self, folder: RunFolder) -> None:
        super().__init__()
        self._folder = folder

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Draw all epochs so far, those before a resume included."""
        write_atomically(self._folder.curve_file, loss_curve(self._folder.history()))


def loss_curve(history: Sequence[dict[str, float]]) -> bytes:
    """Draw loss and held-out perplexity over the epochs.

    Args:
        history: Rows with `epoch` (from 0), `loss`, `val_loss`, `val_perplexity` and
            `unigram_perplexity`.

    Returns:
        A PNG file.
    """
    epochs = [row["epoch"] + 1 for row in history]
    figure = Figure(figsize=(10, 4), layout="constrained")
    loss, perplexity = figure.subplots(1, 2)
    loss.plot(epochs, [row["loss"] for row in history], marker="o", label="training")
    loss.plot(epochs, [row["val_loss"] for row in history], marker="o", label="held out")
    loss.set_ylabel("loss (nats per token)")
    perplexity.plot(
        epochs, [row["val_perplexity"] for row in history], marker="o", label="model, held out"
    )
    perplexity.axhline(
        history[-1]["unigram_perplexity"], color="gray", linestyle="--", label="unigram, held out"
    )
    perplexity.set_yscale("log")
    perplexity.set_ylabel("perplexity (log scale)")
    for axes in (loss, perplexity):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content)
    return content.getvalue()
