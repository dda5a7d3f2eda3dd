"""The callbacks of all recipes: what watches a run, and what saves it."""

from __future__ import annotations

import keras

import tfps
from models.progress import Progress
from models.report import Beside, LossCurve, Yardstick
from models.run_folder import RunFolder
from models.settings import RunSettings


def make_callbacks(
    settings: RunSettings,
    folder: RunFolder,
    yardstick: Yardstick,
    *,
    steps_per_epoch: int,
    examples_per_step: int,
) -> list[keras.callbacks.Callback]:
    """Make what watches and saves, in the order in which an epoch's end needs them.

    Args:
        settings: Of the run.
        folder: Where it leaves its results.
        yardstick: The held-out metric to show, and the baseline to show beside it.
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
        Beside(yardstick, epochs=settings.epochs),
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
        # Last: an epoch that it has saved is not trained again, so all the rest must be done.
        keras.callbacks.BackupAndRestore(
            folder.backup_folder, double_checkpoint=True, delete_checkpoint=False
        ),
    ]
