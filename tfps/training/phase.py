"""One phase of a fit, an evaluate or a predict: a program, the data it reads, and its callbacks."""

from __future__ import annotations

import dataclasses
import math
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from tfps import _keras
from tfps.step.program import Dispatch, WorkerProgram
from tfps.training.dispatch import Result
from tfps.training.feed import Feed
from tfps.training.lanes import Lanes
from tfps.training.serving import Serving
from tfps.training.totals import Totals
from tfps.training.updates import Updates
from tfps.update.measured import Measured

Logs = dict[str, Any]


@dataclasses.dataclass(kw_only=True)
class Phase:
    """The parts that its three loops share.

    Attributes:
        lanes: who runs the steps.
        feed: the data, as it lies on the workers.
        program: what a step is.
        totals: the metric state over all workers.
        steps: how many steps an epoch has; None to read all data to its end.
        steps_per_execution: the most steps that a worker runs in one call, but for what makes the
            last window whole.
        traffic: the bytes of the steps since the last epoch began, as `WorkerProgram` counts them.
        missed: how many updates of its own worker the pulls of these steps came before.
        steps_run: how many steps these were.
    """

    lanes: Lanes
    feed: Feed
    program: WorkerProgram
    totals: Totals
    steps: int | None
    steps_per_execution: int
    _batches_read: int = dataclasses.field(default=0, init=False)
    traffic: np.ndarray = dataclasses.field(init=False)
    missed: int = dataclasses.field(init=False)
    steps_run: int = dataclasses.field(init=False)
    _measured: Measured = dataclasses.field(init=False)
    _began_s: float = dataclasses.field(init=False)

    @property
    def steps_per_dispatch(self) -> int:
        """The most steps that a worker runs in one call: whole windows."""
        window = self.program.window
        return math.ceil(self.steps_per_execution / window) * window

    @property
    def num_steps(self) -> int | None:
        """How many steps an epoch has, as the callbacks are told; None if that is not known."""
        return self.steps if self.steps is not None else self.feed.num_batches

    def train_epoch(
        self, model: keras.Model, callbacks: keras.callbacks.CallbackList, epoch: int
    ) -> Logs:
        """Train one epoch, and return its logs.

        Batch-level callbacks fire on the chief when a dispatch has ended, while the workers are
        already at the next: what they read of the model may be newer than their logs.
        """
        model.reset_metrics()
        callbacks.on_epoch_begin(epoch)
        dropped = self.lanes.dropped_updates
        logs = self._run(
            model, _batch_hooks(callbacks, "train"), stopped=lambda: model.stop_training
        )
        if dropped := self.lanes.dropped_updates - dropped:
            warnings.warn(
                f"Epoch {epoch + 1}: {dropped} of {self.num_steps} steps had gradients that were "
                "not finite; their updates were dropped, and the loss scale was lowered.",
                stacklevel=2,
            )
        return dict(logs)

    def evaluate(self, model: keras.Model, callbacks: keras.callbacks.CallbackList) -> Logs:
        """Evaluate the data once, and return the logs."""
        model.stop_evaluating = False
        callbacks.on_test_begin()
        model.reset_metrics()
        logs = self._run(
            model, _batch_hooks(callbacks, "test"), stopped=lambda: model.stop_evaluating
        )
        callbacks.on_test_end(logs)
        return logs

    def run_steps(self, steps: int) -> int:
        """Run `steps` steps of data that goes on, without callbacks; return how many ran."""
        self._begin()
        self.steps = steps
        for result in self._results():
            self._add(result)
        self.totals.show()
        return self.steps_run

    def predict(self, model: keras.Model, callbacks: keras.callbacks.CallbackList) -> Any:
        """Return the outputs for the data, in the order of its batches."""
        model.stop_predicting = False
        callbacks.on_predict_begin()
        outputs: dict[int, Any] = {}
        dispatch = self.program.dispatch(most_steps=1, with_output=True)
        for position, result in enumerate(self._run_of(dispatch, None)):
            callbacks.on_predict_batch_begin(position)
            batch = result.first_batch * self.lanes.num_workers + result.worker
            outputs[batch] = result.output
            callbacks.on_predict_batch_end(position, {"outputs": result.output})
            if model.stop_predicting:
                break
        callbacks.on_predict_end()
        if not outputs:
            raise ValueError("The data to predict for holds no batch. Give at least one example.")
        return _keras.concatenate([outputs[batch] for batch in sorted(outputs)])

    def _run(
        self,
        model: keras.Model,
        hooks: tuple[Callable[..., None], Callable[..., None]] | None,
        stopped: Callable[[], bool],
    ) -> Logs:
        self._begin()
        logs: Logs = {}
        # As in Keras: what a step of one's own returns goes to the logs, the last step's.
        outputs = self.program.demand.outputs
        own_logs = isinstance(outputs, dict) and set(outputs) != set(model.get_metrics_result())

        def logs_after(result: Result) -> Logs:
            self.totals.show()
            return _as_floats(result.output if own_logs else model.get_metrics_result())

        result = None
        for result in self._results(with_output=own_logs):
            if hooks:
                hooks[0](self.steps_run)
            self._add(result)
            if hooks:
                logs = logs_after(result)
                hooks[1](self.steps_run - 1, logs)
            if stopped():
                break
        return logs if hooks or result is None else logs_after(result)

    def updates(self) -> Updates:
        """Return the updates since the last epoch began."""
        seconds = time.perf_counter() - self._began_s
        return Updates(measured=self.program.measured() - self._measured, seconds=seconds)

    def _begin(self) -> None:
        self.totals.reset()
        self._measured = self.program.measured()
        self._began_s = time.perf_counter()
        self.traffic = np.zeros(self.program.traffic_shape, np.int64)
        self.missed = self.steps_run = 0

    def _add(self, result: Result) -> None:
        report = self.program.format.read(result.report)
        self.totals.add(report.metrics)
        self.lanes.dropped_updates += report.dropped
        self.traffic += report.traffic
        self.missed += report.missed
        self.steps_run += result.steps

    def _results(self, *, with_output: bool = False) -> Iterator[Result]:
        """Run the steps of an epoch; those between two changes of what travels in one run."""
        remaining = self.steps
        first = True
        while first or remaining != 0:
            step, count = 0, remaining
            if boundaries := self.program.boundaries:
                step = self.program.global_step
                ahead = min((b - step for b in boundaries if b > step), default=None)
                count = min((n for n in (ahead, remaining) if n is not None), default=None)
            dispatch = self.program.dispatch(
                most_steps=self.steps_per_dispatch, with_output=with_output, step=step
            )
            ran = yield from self._run_of(dispatch, count, of=self.steps, goes_on=not first)
            if count is None or ran < count:
                return
            remaining = None if remaining is None else remaining - count
            first = False

    def _run_of(
        self, dispatch: Dispatch, steps: int | None, *, of: int | None = None, goes_on: bool = False
    ) -> Generator[Result, None, int]:
        """Start a run and yield its results; data that was read to its end begins anew.

        Args:
            dispatch: what the workers, and the ps, run.
            steps: how many steps to run; None to read all data to its end.
            of: how many steps were asked for; None if the data's end is what ends them.
            goes_on: whether the run is a later part of an epoch.

        Returns:
            How many steps ran.
        """
        if not goes_on and (of is None or self._batches_read == self.feed.num_batches):
            self.feed.start_epoch()
            self._batches_read = 0
        self.program.refresh()
        ran = 0
        with Serving(dispatch.served_by, self.lanes.num_workers) as serving:
            run = self.lanes.start(
                self.feed,
                dispatch.function,
                serving,
                steps=steps,
                steps_per_dispatch=self.steps_per_dispatch,
            )
            for result in run.results():
                self._batches_read += result.steps
                ran += result.steps
                yield result
        if run.out_of_data and of is not None:
            self.feed.start_epoch()
            self._batches_read = 0
            warnings.warn(
                f"The data of all workers ended before {of} steps had run. Give more "
                "batches, for example with .repeat().",
                stacklevel=2,
            )
        return ran


def _batch_hooks(
    callbacks: keras.callbacks.CallbackList, mode: Literal["train", "test"]
) -> tuple[Callable[..., None], Callable[..., None]] | None:
    """Return what to call before and after a batch; None if no callback does anything there.

    Logs are only worth their while if somebody reads them.
    """
    names = [f"on_{mode}_batch_begin", f"on_{mode}_batch_end", "on_batch_begin", "on_batch_end"]
    base = keras.callbacks.Callback
    idle = all(
        getattr(getattr(callback, name), "__func__", None) is getattr(base, name)
        for callback in callbacks.callbacks
        for name in names
    )
    return None if idle else (getattr(callbacks, names[0]), getattr(callbacks, names[1]))


def _as_floats(logs: Logs) -> Logs:
    """Return logs with plain floats, as callbacks want them."""
    return {
        name: float(value) if tf.is_tensor(value) and value.shape.rank == 0 else value
        for name, value in logs.items()
    }
