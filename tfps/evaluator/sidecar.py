"""The evaluator: a plain Keras model that evaluates each new checkpoint of a training."""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from tfps.errors import CheckpointMismatchError
from tfps.evaluator import loading, record
from tfps.evaluator.best import BestCheckpoint, Mode, sign
from tfps.evaluator.checkpoints import Checkpoint, find
from tfps.evaluator.evaluation import Evaluation, scalars
from tfps.evaluator.watch import Watch

_LONGEST_PAUSE_S = 1.0

AnyPath = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True, eq=False)
class SidecarEvaluator:
    """Evaluate each new checkpoint of a training, beside it.

    For a task of its own, which `tfps.run(train, evaluate)` starts, or any other process:

        def evaluate():
            model = make_model()  # without a strategy's scope
            return tfps.SidecarEvaluator(model, data, "run/checkpoints", log_dir="run/evaluator")

    Each checkpoint is evaluated once, in the order in which they were written: Keras's files
    (`*.weights.h5`, `*.keras`), those of tf.train.Checkpoint and its CheckpointManager, and a file
    that is overwritten each time, as that of BackupAndRestore is (which deletes it at the end,
    unless `delete_checkpoint=False`). One that is overwritten or deleted before its turn is passed
    over. One that cannot be read is tried again, then reported on standard error and passed over.

    A line of results for each goes to standard output, and scalars to TensorBoard under the names
    that Keras's TensorBoard callback gives them (`evaluation_loss_vs_iterations`). Their step is
    `optimizer.iterations`, where the checkpoint has it, else the last whole number in its name,
    else one more than the last one's. `log_dir` also gets `evaluated.json`, from which a restarted
    evaluator goes on: give each evaluator a `log_dir` of its own.

    Attributes:
        model: A compiled model like the one that is trained, made outside of a strategy's scope.
            If it is not built, a batch of the data builds it.
        data: What to evaluate on, whatever `validation_data` of `fit` may be: a dataset, a tuple of
            arrays, or a function from tf.distribute.InputContext to a dataset.
        checkpoints: A folder, a glob pattern, one file, or the prefix of a tf.train.Checkpoint, on
            this machine or where else tf.io.gfile reads. It need not exist yet.
        log_dir: The folder for TensorBoard's events and `evaluated.json`.
        keep_best: Where to copy the best checkpoint, under its own suffix; for tf.train.Checkpoint
            a prefix, and tf.train.latest_checkpoint of its folder finds it. None keeps none.
        monitor: The result that the best is chosen by; `val_` before it may stay.
        mode: Whether the best has the smallest ("min") or the largest ("max"); "auto" knows losses.
        skip_to_newest: Whether, when there are several new ones, only the newest is evaluated.
        steps: Batches of an evaluation; None takes all.
        callbacks: Keras callbacks for each evaluation; they find the step in
            `model.optimizer.iterations`.
        poll_s: Seconds from one look for new checkpoints to the next.

    Raises:
        ValueError: `mode` is "auto" for a result that is no loss, or none of the three.
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
        """Evaluate until the training is over and no checkpoint is left.

        Args:
            is_over: Returns whether the training will write no more checkpoints. `tfps.run` knows;
                without it the evaluator goes on until its process is ended.

        Raises:
            CheckpointMismatchError: A checkpoint is another model's.
            ValueError: `monitor` is none of the results, or `keep_best` has another suffix than the
                checkpoints.
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
            over = is_over()  # Asked first: what is found afterwards is all there will be.
            took = self._take_next()
            if over and self._watch.is_done:
                break
            if not took:
                self._pause(is_over)
        if not self._record.evaluated:
            _warn(f"the training is over, and there was no checkpoint at {self._place}.")

    def _take_next(self) -> bool:
        """Evaluate the next checkpoint; return whether there was one that could be."""
        checkpoint = self._watch.look(find(self._place))
        return checkpoint is not None and self._take(checkpoint)

    def _pause(self, is_over: Callable[[], bool]) -> None:
        end = time.monotonic() + self._poll_s
        while (left_s := end - time.monotonic()) > 0:
            time.sleep(min(left_s, _LONGEST_PAUSE_S))
            if is_over():
                return

    def _take(self, checkpoint: Checkpoint) -> bool:
        """Evaluate a checkpoint, if its content is new; return whether it could be read."""
        with tempfile.TemporaryDirectory(prefix="tfps-evaluator-") as folder:
            try:
                copied = loading.copy(checkpoint, folder)
                if copied is None:
                    return False  # The next look finds what has become of it.
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
        _warn(f"{checkpoint.path} cannot be read, and is passed over: {error}")
        self._watch.finish(checkpoint)

    def _evaluate(
        self, checkpoint: Checkpoint, copied: loading.Copy, iterations: int | None
    ) -> None:
        step = self._step(checkpoint) if iterations is None else iterations
        results = self._evaluation.run(step)
        is_best = self._best is not None and self._best.offer(copied, step, results)
        evaluated = record.Evaluated(
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


def _best(settings: SidecarEvaluator, kept: record.Best | None) -> BestCheckpoint | None:
    if settings.keep_best is None:
        return None
    return BestCheckpoint(os.fspath(settings.keep_best), settings.monitor, settings.mode, kept)


def _listed(results: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:.5g}" for name, value in scalars(results).items())


def _warn(sentence: str) -> None:
    print(f"tfps: {sentence}", file=sys.stderr, flush=True)
