"""Keras's BackupAndRestore, and what tfps saves with it."""

from __future__ import annotations

from collections.abc import Callable

import keras


def save_with(
    backup: keras.callbacks.BackupAndRestore, snapshot: Callable[[int], Callable[[], None]]
) -> None:
    """Have a backup save more than the model.

    Args:
        backup: the callback.
        snapshot: is called with the epoch that a restart begins with, before the model is saved.
            What it returns is called afterwards.
    """
    save_model = type(backup)._save_model

    def save() -> None:
        commit = snapshot(backup._current_epoch)
        save_model(backup)
        commit()

    backup._save_model = save


def begin_at(backup: keras.callbacks.BackupAndRestore, epoch: int) -> None:
    """Tell a backup the first epoch of a fit: Keras's takes it for 0 until an epoch has ended."""
    backup._current_epoch = epoch
