"""Keep the best checkpoint: which one that is, and its files, never half of them."""

from __future__ import annotations

import glob
import math
import os
from collections.abc import Mapping
from typing import Any, Literal

import tensorflow as tf

from tfps.evaluator.checkpoints import INDEX_SUFFIX, KERAS_SUFFIXES
from tfps.evaluator.loading import Copy
from tfps.evaluator.record import Best

Mode = Literal["auto", "min", "max"]


class BestCheckpoint:
    """The best checkpoint so far, and where it is kept.

    A Keras file takes the place of the last best at once. A tf.train.Checkpoint has several files,
    so it becomes `PATH-STEP`, and then TensorFlow's file `checkpoint`, which
    tf.train.latest_checkpoint reads, names it.
    """

    def __init__(self, path: str, monitor: str, mode: Mode, kept: Best | None) -> None:
        """Begin with what an earlier evaluator kept, if it is still there.

        Args:
            path: Where to keep it.
            monitor: The result that it is chosen by.
            mode: Whether that should be small or large.
            kept: What an earlier evaluator says it kept.
        """
        self._path = path
        self._monitor = monitor.removeprefix("val_")
        self._sign = sign(monitor, mode)
        self.kept = kept if kept and self._is_there(kept) else None

    def offer(self, checkpoint: Copy, step: int, results: Mapping[str, Any]) -> bool:
        """Keep a checkpoint if it is better than the best so far; return whether it is.

        Raises:
            ValueError: The result is not among `results`, or the path ends in another suffix than
                the checkpoint, so that nothing would load it from there.
        """
        self._check(checkpoint, results)
        value = float(results[self._monitor])
        last = self.kept
        if math.isnan(value) or (last and self._sign * value >= self._sign * last.value):
            return False
        kept_path = self._keep(checkpoint, step)
        self.kept = Best(path=kept_path, monitor=self._monitor, value=value)
        if last and last.path != kept_path:
            for file in _files(last.path):
                tf.io.gfile.remove(file)
        return True

    def _is_there(self, kept: Best) -> bool:
        is_here = kept.path.startswith(self._path) and bool(_files(kept.path))
        return is_here and kept.monitor == self._monitor

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
            _copy_at_once(file, path + file.removeprefix(checkpoint.path))
        if not checkpoint.suffix:
            tf.compat.v1.train.update_checkpoint_state(folder, path)
        return path


def sign(monitor: str, mode: Mode) -> int:
    """Return 1 if a smaller result is better, -1 if a larger one is.

    Raises:
        ValueError: The mode is unknown, or "auto" for something else than a loss.
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
    ends = ("", ".data-*", INDEX_SUFFIX)
    return [file for end in ends for file in tf.io.gfile.glob(glob.escape(path) + end)]


def _copy_at_once(source: str, target: str) -> None:
    passing = os.path.join(os.path.dirname(target), f".{os.path.basename(target)}.{os.getpid()}")
    tf.io.gfile.copy(source, passing, overwrite=True)
    tf.io.gfile.rename(passing, target, overwrite=True)
