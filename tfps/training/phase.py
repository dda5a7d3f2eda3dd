"""The loops of fit, evaluate and predict: an epoch as runs of dispatches, with its callbacks."""

from __future__ import annotations

import dataclasses
import math
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from typing import Any

import keras
import numpy as np

from tfps import _keras
from tfps.step.program import Dispatch, WorkerProgram
from tfps.step.report import MetricSums
from tfps.training.callbacks import BatchHooks, Logs, as_floats, batch_hooks
from tfps.training.feed import Feed
from tfps.training.history import Updates
from tfps.training.pool import WorkerPool
from tfps.training.ps_threads import PsThreads
from tfps.training.run import Result, Run
from tfps.update.effect import Measured


@dataclasses.dataclass(kw_only=True)
class Phase:
    """A program and the data that it reads, with the loops over them.

    Attributes:
        workers: the workers that run the steps.
        feed: the data on the workers.
        program: what a step does.
        metrics: the metric state over all workers.
        steps: the number of steps of an epoch; None to read all data to its end.
        steps_per_execution: the most steps that a worker runs in one call, before they are rounded
            up to whole windows.
        traffic: the bytes of the steps since the epoch began, as reports count them.
        missed: the updates of its own worker that the pull of each of these steps missed, summed.
        steps_run: the number of these steps.
    """

    workers: WorkerPool
    feed: Feed
    program: WorkerProgram
    metrics: MetricSums
    steps: int | None
    steps_per_execution: int
    traffic: np.ndarray = dataclasses.field(init=False)
    missed: int = dataclasses.field(init=False)
    steps_run: int = dataclasses.field(init=False)
    _batches_read: int = dataclasses.field(default=0, init=False)
    _measured_before: Measured = dataclasses.field(init=False)
    _start_s: float = dataclasses.field(init=False)

    @property
    def steps_per_dispatch(self) -> int:
        """The most steps that a worker runs in one call: whole windows."""
        window = self.program.window
        return math.ceil(self.steps_per_execution / window) * window

    @property
    def num_steps(self) -> int | None:
        """The number of steps of an epoch, for the callbacks; None if it is not known."""
        return self.steps if self.steps is not None else self.feed.num_batches

    def train_epoch(
        self, model: keras.Model, callbacks: keras.callbacks.CallbackList, epoch: int
    ) -> Logs:
        """Train one epoch, and return its logs.

        Batch-level callbacks are called on the chief when a dispatch has ended. By then the workers
        run the next one: the model's state may be newer than the logs.
        """
        model.reset_metrics()
        callbacks.on_epoch_begin(epoch)
        dropped_before = self.workers.dropped_updates
        hooks = batch_hooks(callbacks, "train")
        logs = self._run_epoch(model, hooks, stopped=lambda: model.stop_training)
        if dropped := self.workers.dropped_updates - dropped_before:
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
        hooks = batch_hooks(callbacks, "test")
        logs = self._run_epoch(model, hooks, stopped=lambda: model.stop_evaluating)
        callbacks.on_test_end(logs)
        return logs

    def run_steps(self, steps: int) -> int:
        """Run `steps` steps from where the data is, without callbacks; return how many ran."""
        self._begin()
        self.steps = steps
        for result in self._results():
            self._count(result)
        self.metrics.assign()
        return self.steps_run

    def predict(self, model: keras.Model, callbacks: keras.callbacks.CallbackList) -> Any:
        """Return the outputs for the data, in the order of its batches."""
        model.stop_predicting = False
        callbacks.on_predict_begin()
        outputs: dict[int, Any] = {}
        dispatch = self.program.dispatch(most_steps=1, with_output=True)
        for position, result in enumerate(self._run(dispatch, None)):
            callbacks.on_predict_batch_begin(position)
            batch = result.first_batch * self.workers.num_workers + result.worker
            outputs[batch] = result.output
            callbacks.on_predict_batch_end(position, {"outputs": result.output})
            if model.stop_predicting:
                break
        callbacks.on_predict_end()
        if not outputs:
            raise ValueError("The data to predict for holds no batch. Give at least one example.")
        return _keras.concatenate([outputs[batch] for batch in sorted(outputs)])

    def updates(self) -> Updates:
        """Return the updates since the epoch began."""
        seconds = time.perf_counter() - self._start_s
        return Updates(measured=self.program.measured() - self._measured_before, seconds=seconds)

    def _run_epoch(
        self, model: keras.Model, hooks: BatchHooks | None, stopped: Callable[[], bool]
    ) -> Logs:
        self._begin()
        logs: Logs = {}
        # As in Keras, the logs hold what a train_step or test_step of the user's own returned last.
        # Metrics' results are those of all workers.
        demand = self.program.demand
        returned = demand.outputs if isinstance(demand.outputs, dict) else {}
        results = set(model.get_metrics_result())
        # Keras takes a dictionary with the metrics' names for their results.
        merged = results if results == set(returned) else demand.metric_results & results
        with_output = not merged.issuperset(returned)

        def logs_after(result: Result) -> Logs:
            self.metrics.assign()
            results = model.get_metrics_result()
            if returned:
                results = {n: results[n] if n in merged else result.output[n] for n in returned}
            return as_floats(results)

        result = None
        for result in self._results(with_output=with_output):
            if hooks:
                hooks[0](self.steps_run)
            self._count(result)
            if hooks:
                logs = logs_after(result)
                hooks[1](self.steps_run - 1, logs)
            if stopped():
                break
        return logs if hooks or result is None else logs_after(result)

    def _begin(self) -> None:
        self.metrics.reset()
        self._measured_before = self.program.measured()
        self._start_s = time.perf_counter()
        self.traffic = np.zeros(self.program.traffic_shape, np.int64)
        self.missed = self.steps_run = 0

    def _count(self, result: Result) -> None:
        report = self.program.format.read(result.report)
        self.metrics.add(report.metrics)
        self.workers.dropped_updates += report.dropped
        self.traffic += report.traffic
        self.missed += report.missed
        self.steps_run += result.steps

    def _results(self, *, with_output: bool = False) -> Iterator[Result]:
        """Run the steps of an epoch: one run for each format in which parameters travel."""
        remaining = self.steps
        is_first = True
        while is_first or remaining != 0:
            step, count = 0, remaining
            if boundaries := self.program.boundaries:
                step = self.program.global_step
                until = [self.program.steps_until(b, step) for b in boundaries if b > step]
                count = min([*until, *([] if remaining is None else [remaining])], default=None)
            dispatch = self.program.dispatch(
                most_steps=self.steps_per_dispatch, with_output=with_output, step=step
            )
            ran = yield from self._run(
                dispatch, count, requested=self.steps, continues=not is_first
            )
            if count is None or ran < count:
                return
            remaining = None if remaining is None else remaining - count
            is_first = False

    def _run(
        self,
        dispatch: Dispatch,
        steps: int | None,
        *,
        requested: int | None = None,
        continues: bool = False,
    ) -> Generator[Result, None, int]:
        """Start a run and yield its results; start the data anew if it was read to its end.

        Args:
            dispatch: what the workers and the ps run.
            steps: the number of steps to run; None to read all data to its end.
            requested: the number of steps of the epoch; None if it ends with the data.
            continues: whether the epoch has had a run before.

        Returns:
            The number of steps that ran.
        """
        if not continues and (requested is None or self._batches_read == self.feed.num_batches):
            self._restart_data()
        self.program.refresh()
        ran = 0
        with PsThreads(dispatch.ps_programs, self.workers.num_workers) as ps_threads:
            run = Run(
                self.feed,
                dispatch.function,
                ps_threads,
                workers=self.workers.num_workers,
                steps=steps,
                steps_per_dispatch=self.steps_per_dispatch,
                in_step=dispatch.in_step,
            )
            run.start(self.workers)
            for result in run.results():
                self._batches_read += result.steps
                ran += result.steps
                yield result
        if run.out_of_data and requested is not None:
            self._restart_data()
            warnings.warn(
                f"The data of all workers ended before {requested} steps had run. Give more "
                "batches, for example with .repeat().",
                stacklevel=2,
            )
        return ran

    def _restart_data(self) -> None:
        self.feed.start_epoch()
        self._batches_read = 0
