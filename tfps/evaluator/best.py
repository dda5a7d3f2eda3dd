"""Keep a copy of the best checkpoint, always a complete one."""

from __future__ import annotations

import glob
import math
import os
from collections.abc import Mapping
from typing import Any, Literal

import tensorflow as tf

from tfps.evaluator.checkpoints import INDEX_SUFFIX, KERAS_SUFFIXES
from tfps.evaluator.loading import Copy
from tfps.evaluator.record import KeptCheckpoint

Mode = Literal["auto", "min", "max"]


class BestCheckpoint:
    """The best checkpoint so far, and where its copy is kept.

    A Keras file replaces the previous best atomically. A tf.train.Checkpoint has several files, so
    it is copied to `PATH-STEP`, and then named in TensorFlow's file `checkpoint`, which
    tf.train.latest_checkpoint reads.
    """

    def __init__(self, path: str, monitor: str, mode: Mode, kept: KeptCheckpoint | None) -> None:
        """Start with the best checkpoint that an earlier evaluator kept, if it still exists.

        Args:
            path: Where to keep the best checkpoint.
            monitor: The result by which it is chosen.
            mode: Whether a small or a large result is better.
            kept: The best checkpoint in an earlier evaluator's record.
        """
        self._path = path
        self._monitor = monitor.removeprefix("val_")
        self._sign = sign(monitor, mode)
        self.kept = kept if kept and self._exists(kept) else None

    def offer(self, checkpoint: Copy, step: int, results: Mapping[str, Any]) -> bool:
        """Keep a checkpoint if it is better than the best so far; return whether it is.

        Raises:
            ValueError: The monitored result is not among `results`, or the path has a different
                suffix than the checkpoint, so that nothing would load it.
        """
        self._check(checkpoint, results)
        value = float(results[self._monitor])
        previous = self.kept
        if math.isnan(value) or (previous and self._sign * value >= self._sign * previous.value):
            return False
        kept_path = self._keep(checkpoint, step)
        self.kept = KeptCheckpoint(path=kept_path, monitor=self._monitor, value=value)
        if previous and previous.path != kept_path:
            for file in _files(previous.path):
                tf.io.gfile.remove(file)
        return True

    def _exists(self, kept: KeptCheckpoint) -> bool:
        exists = kept.path.startswith(self._path) and bool(_files(kept.path))
        return exists and kept.monitor == self._monitor

    def _check(self, checkpoint: Copy, results: Mapping[str, Any]) -> None:
        if not isinstance(results.get(self._monitor), float):
            raise ValueError(
                f"monitor is {self._monitor!r}, but must be one number of the results, which are "
                f"{', '.join(results)}."
            )
        suffix = next((known for known in KERAS_SUFFIXES if self._path.endswith(known)), "")
        if suffix != checkpoint.suffix:
            raise ValueError(
                f"keep_best is {self._path!r}, but {os.path.basename(checkpoint.path)} is another "
                f"kind of checkpoint. Let it end in {checkpoint.suffix or 'none of the suffixes'}."
            )

    def _keep(self, checkpoint: Copy, step: int) -> str:
        folder = os.path.dirname(self._path) or "."
        tf.io.gfile.makedirs(folder)
        path = self._path if checkpoint.suffix else f"{self._path}-{step}"
        for file in checkpoint.files:
            _copy_atomically(file, path + file.removeprefix(checkpoint.path))
        if not checkpoint.suffix:
            tf.compat.v1.train.update_checkpoint_state(folder, path)
        return path


def sign(monitor: str, mode: Mode) -> int:
    """Return 1 if a smaller result is better, -1 if a larger one is.

    Raises:
        ValueError: The mode is unknown, or is "auto" for a result that is not a loss.
    """
    if mode not in ("min", "max", "auto"):
        raise ValueError(f"mode is {mode!r}, but must be 'min', 'max' or 'auto'.")
    if mode == "auto" and not monitor.endswith("loss"):
        raise ValueError(
            f"monitor={monitor!r} needs mode='max' or mode='min': 'auto' knows only that a loss is "
            "the better the smaller it is."
        )
    return -1 if mode == "max" else 1


def _files(path: str) -> list[str]:
    suffixes = ("", ".data-*", INDEX_SUFFIX)
    return [file for s in suffixes for file in tf.io.gfile.glob(glob.escape(path) + s)]


def _copy_atomically(source: str, target: str) -> None:
    temporary = os.path.join(os.path.dirname(target), f".{os.path.basename(target)}.{os.getpid()}")
    tf.io.gfile.copy(source, temporary, overwrite=True)
    tf.io.gfile.rename(temporary, target, overwrite=True)
