"""The side-car evaluator: evaluates each new checkpoint with a plain Keras model."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from tfps.errors import CheckpointMismatchError
from tfps.evaluator import loading, record
from tfps.evaluator.best import BestCheckpoint, Mode, sign
from tfps.evaluator.checkpoints import Checkpoint, Watch, find
from tfps.evaluator.evaluation import Evaluation, scalars
from tfps.log import say

_LONGEST_PAUSE_S = 1.0

AnyPath = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True, eq=False)
class SidecarEvaluator:
    """Evaluate each new checkpoint of a training run, beside it.

    Use it in an evaluator task, which `tfps.run(train, evaluate)` starts, or in any other process:

        def evaluate():
            model = make_model()  # without a strategy's scope
            return tfps.SidecarEvaluator(model, data, "run/checkpoints", log_dir="run/evaluator")

    Each checkpoint is evaluated once, in the order of writing. Checkpoints are Keras's files
    (`*.weights.h5`, `*.keras`), those of tf.train.Checkpoint and its CheckpointManager, and a file
    that is overwritten each time, such as BackupAndRestore's (which deletes it at the end unless
    `delete_checkpoint=False`). A checkpoint that is overwritten or deleted before its turn is
    skipped. One that cannot be read is tried again, then reported on standard error and skipped.

    For each checkpoint, a line of results goes to standard output, and scalars go to TensorBoard
    under the names that Keras's TensorBoard callback gives them (`evaluation_loss_vs_iterations`).
    Their step is `optimizer.iterations` if the checkpoint has it, else the last whole number in its
    name, else the previous step plus one. A restarted evaluator continues from `evaluated.json` in
    `log_dir`, so give each evaluator its own `log_dir`.

    Attributes:
        model: A compiled model like the trained one, made outside of a strategy's scope. If it is
            not built, a batch of the data builds it.
        data: The data to evaluate on, in any form of `validation_data` in `fit`: a dataset, a tuple
            of arrays, or a function from tf.distribute.InputContext to a dataset.
        checkpoints: A folder, a glob pattern, one file, or the prefix of a tf.train.Checkpoint, on
            this machine or anywhere that tf.io.gfile reads. It need not exist yet.
        log_dir: The folder for TensorBoard's events and `evaluated.json`.
        keep_best: Where to copy the best checkpoint: a path with the same suffix. For
            tf.train.Checkpoint it is a prefix, and tf.train.latest_checkpoint of its folder finds
            the copy. None keeps no copy.
        monitor: The result by which the best is chosen, with or without `val_`.
        mode: Whether the best has the smallest ("min") or the largest ("max") result; "auto" knows
            losses.
        skip_to_newest: Whether to evaluate only the newest of several new checkpoints.
        steps: Batches per evaluation; None takes all.
        callbacks: Keras callbacks for each evaluation; they find the step in
            `model.optimizer.iterations`.
        poll_s: Seconds between two searches for new checkpoints.

    Raises:
        ValueError: `mode` is unknown, or is "auto" for a result that is not a loss.
    """

    model: keras.Model
    data: Any
    checkpoints: AnyPath
    _: dataclasses.KW_ONLY
    log_dir: AnyPath
    keep_best: AnyPath | None = None
    monitor: str = "loss"
    mode: Mode = "auto"
    skip_to_newest: bool = False
    steps: int | None = None
    callbacks: Sequence[keras.callbacks.Callback] = ()
    poll_s: float = 2.0

    def __post_init__(self) -> None:
        """Check the mode."""
        sign(self.monitor, self.mode)

    def start(self, is_over: Callable[[], bool] = lambda: False) -> None:
        """Evaluate until the training is over and all checkpoints are done.

        Args:
            is_over: Returns whether the training is over and will write no more checkpoints.
                `tfps.run` passes it; without it, the evaluator runs until its process ends.

        Raises:
            CheckpointMismatchError: A checkpoint holds the weights of another model.
            ValueError: `monitor` is not among the results, or `keep_best` has a different suffix
                than the checkpoints.
        """
        _Work(self).run(is_over)


class _Work:
    """The work of an evaluator, from its start to its end."""

    def __init__(self, settings: SidecarEvaluator) -> None:
        self._model = settings.model
        self._poll_s = settings.poll_s
        self._place = os.fspath(settings.checkpoints)
        self._log_dir = os.fspath(settings.log_dir)
        self._record = record.read(self._log_dir)
        self._best = _best(settings, self._record.best)
        self._watch = Watch(
            (evaluated.checkpoint for evaluated in self._record.evaluated),
            skip_to_newest=settings.skip_to_newest,
        )
        self._evaluation = Evaluation(
            settings.model, settings.data, settings.steps, settings.callbacks, self._log_dir
        )

    def run(self, is_over: Callable[[], bool]) -> None:
        self._evaluation.build()
        while True:
            over = is_over()  # Asked before searching, so that no later checkpoint is missed.
            evaluated = self._take_next()
            if over and self._watch.is_done:
                break
            if not evaluated:
                self._pause(is_over)
        if not self._record.evaluated:
            say(f"the training is over, and there was no checkpoint at {self._place}.")

    def _take_next(self) -> bool:
        """Evaluate the next checkpoint; return whether there was one that could be read."""
        checkpoint = self._watch.next_ready(find(self._place))
        return checkpoint is not None and self._take(checkpoint)

    def _pause(self, is_over: Callable[[], bool]) -> None:
        end = time.monotonic() + self._poll_s
        while (left_s := end - time.monotonic()) > 0:
            time.sleep(min(left_s, _LONGEST_PAUSE_S))
            if is_over():
                return

    def _take(self, checkpoint: Checkpoint) -> bool:
        """Evaluate a checkpoint if its content is new; return whether it could be read."""
        with tempfile.TemporaryDirectory(prefix="tfps-evaluator-") as folder:
            try:
                copied = loading.copy(checkpoint, folder)
                if copied is None:
                    return False  # The next search finds its new version, if any.
                is_new = not self._record.has(copied.digest)
                iterations = loading.load(self._model, copied) if is_new else None
            except Exception as error:  # Whatever h5py, zipfile, Keras and TensorFlow raise.
                self._try_again(checkpoint, error)
                return False
            if is_new:
                self._evaluate(checkpoint, copied, iterations)
        self._watch.finish(checkpoint)
        return True

    def _try_again(self, checkpoint: Checkpoint, error: Exception) -> None:
        if not self._watch.failed(checkpoint):
            return
        if isinstance(error, CheckpointMismatchError):
            raise error
        say(f"{checkpoint.path} cannot be read, and is skipped: {error}")
        self._watch.finish(checkpoint)

    def _evaluate(
        self, checkpoint: Checkpoint, copied: loading.Copy, iterations: int | None
    ) -> None:
        step = self._step(checkpoint) if iterations is None else iterations
        results = self._evaluation.run(step)
        is_best = self._best is not None and self._best.offer(copied, step, results)
        evaluated = record.EvaluatedCheckpoint(
            checkpoint=checkpoint, digest=copied.digest, step=step, results=results
        )
        kept = self._best.kept if self._best else self._record.best
        self._record = self._record.with_evaluated(evaluated, kept)
        record.write(self._record, self._log_dir)
        best = ", the best so far" if is_best else ""
        print(f"step {step}: {_listed(results)} ({checkpoint.name}{best})", flush=True)

    def _step(self, checkpoint: Checkpoint) -> int:
        if checkpoint.number is not None:
            return checkpoint.number
        return self._record.evaluated[-1].step + 1 if self._record.evaluated else 1


def _best(settings: SidecarEvaluator, kept: record.KeptCheckpoint | None) -> BestCheckpoint | None:
    if settings.keep_best is None:
        return None
    return BestCheckpoint(os.fspath(settings.keep_best), settings.monitor, settings.mode, kept)


def _listed(results: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:.5g}" for name, value in scalars(results).items())
