"""Where training is in its data: saved with Keras's BackupAndRestore, so that a restart goes on."""

from __future__ import annotations

import base64
import functools
import json
import os
import uuid
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfps import _keras
from tfps.params.placement import CHIEF_DEVICE
from tfps.training.phase import Phase

_FILE = "data_position.json"
_STATE = "data_iterator"


def keep_position(
    callbacks: keras.callbacks.CallbackList, training: Phase, first_epoch: int
) -> str | None:
    """Have each BackupAndRestore save the position, and go to the one that the first has saved.

    Returns:
        A line about where the epoch goes on; None if it begins.
    """
    line = None
    for backup in callbacks.callbacks:
        if isinstance(backup, keras.callbacks.BackupAndRestore):
            line = line or _restore(backup.backup_dir, training, first_epoch)
            _keras.begin_at(backup, first_epoch)
            _keras.save_with(backup, functools.partial(_save, backup.backup_dir, training))
    return line


def _save(folder: str, training: Phase, epoch: int) -> Callable[[], None]:
    """Save the position; it counts once the function that is returned is called."""
    tf.io.gfile.makedirs(folder)
    name = f"{_STATE}-{uuid.uuid4().hex}"
    position: dict[str, Any] = {"epoch": epoch}

    def write(iterator: Any) -> None:
        try:
            tf.train.Checkpoint(iterator=iterator).write(os.path.join(folder, name))
            position["iterator"] = name
        except tf.errors.OpError:
            pass  # a dataset that cannot tell, such as one of a generator: batches are skipped

    position["feed"] = training.feed.position(write)
    position["steps"] = training.steps_in_epoch(epoch, used=position["feed"]["used"])

    def commit() -> None:
        path = os.path.join(folder, _FILE)
        with tf.io.gfile.GFile(f"{path}.new", "w") as file:
            file.write(json.dumps(position, default=lambda b: base64.b64encode(b).decode()))
        tf.io.gfile.rename(f"{path}.new", path, overwrite=True)
        for other in tf.io.gfile.listdir(folder):
            if other.startswith(_STATE) and not other.startswith(position.get("iterator", " ")):
                tf.io.gfile.remove(os.path.join(folder, other))

    return commit


def _restore(folder: str, training: Phase, epoch: int) -> str | None:
    path = os.path.join(folder, _FILE)
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path) as file:
        position: dict[str, Any] = json.load(file)
    if position["epoch"] != epoch or not (position["steps"] or training.steps):
        return None
    restore = None
    if name := position.get("iterator"):
        restore = functools.partial(_read, os.path.join(folder, name))
    with tf.device(CHIEF_DEVICE):
        is_there = training.go_on(position["steps"], position["feed"], restore)
    if not is_there:
        return None
    return f"Epoch {epoch + 1} goes on after {position['steps']} of its steps."


def _read(path: str, iterator: Any) -> None:
    tf.train.Checkpoint(iterator=iterator).read(path).assert_consumed()
