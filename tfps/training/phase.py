"""The loops of fit and evaluate: an epoch as runs of dispatches, with its callbacks."""

from __future__ import annotations

import dataclasses
import math
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Any

import keras
import numpy as np

from tfps import _keras
from tfps.step.program import Dispatch, WorkerProgram
from tfps.step.report import MetricSums
from tfps.training.callbacks import BatchHooks, Logs, batch_hooks
from tfps.training.feed import Feed
from tfps.training.history import Reading, Updates
from tfps.training.outputs import Outputs
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
        batches: the number of batches that were asked for, if all data is read; None is any.
        most_apart: how far the batches that workers are at may be apart; None is any.
        members: the indices of the workers that take part; None is all.
        outputs: what a step returns; None if nobody asks for it.
        traffic: the bytes of the steps since the epoch began, as reports count them.
        missed: the updates of its own worker that the pull of each of these steps missed, summed.
        epoch: the epoch of fit.
        steps_run: the number of its steps that have run.
    """

    workers: WorkerPool
    feed: Feed
    program: WorkerProgram
    metrics: MetricSums
    steps: int | None
    steps_per_execution: int
    batches: int | None = None
    most_apart: int | None = None
    members: Sequence[int] | None = None
    outputs: Outputs | None = None
    traffic: np.ndarray = dataclasses.field(init=False)
    missed: int = dataclasses.field(init=False)
    epoch: int = dataclasses.field(default=0, init=False)
    steps_run: int = dataclasses.field(init=False)
    _batches_read: int = dataclasses.field(default=0, init=False)
    _resumes_after: int | None = dataclasses.field(default=None, init=False)
    _measured_before: Measured = dataclasses.field(init=False)
    _start_s: float = dataclasses.field(init=False)
    _used_before: int = dataclasses.field(default=0, init=False)

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

        Batch-level callbacks are called on the chief when a dispatch has ended; see `BatchHooks`.
        """
        self.epoch = epoch
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

    def logs(self, model: keras.Model) -> Logs:
        """Run the data once, without callbacks, and return the logs."""
        return self._run_epoch(model, None, stopped=lambda: False)

    def run_steps(self, steps: int) -> int:
        """Run `steps` steps from where the data is, without callbacks; return how many ran."""
        self._begin()
        self.steps = steps
        for result in self._results():
            self._add(result)
        self.metrics.assign()
        return self.steps_run

    def steps_in_epoch(self, epoch: int, *, used: int) -> int:
        """Return the number of steps of an epoch, this one or the next, that have run.

        Args:
            epoch: the epoch.
            used: the number of batches that were used since the data began.
        """
        return used - self._used_before if epoch == self.epoch else 0

    def go_on(
        self, steps: int, position: dict[str, Any], restore: Callable[[Any], None] | None
    ) -> bool:
        """Begin the next epoch after so many of its steps; see `Feed.go_to`."""
        is_there = self.feed.go_to(position, restore)
        if is_there:
            self._resumes_after, self._batches_read = steps, position["used"]
            self._used_before = position["used"] - steps
        return is_there

    def updates(self) -> Updates:
        """Return the updates since the epoch began."""
        seconds = time.perf_counter() - self._start_s
        return Updates(measured=self.program.measured() - self._measured_before, seconds=seconds)

    def _run_epoch(
        self, model: keras.Model, hooks: BatchHooks | None, stopped: Callable[[], bool]
    ) -> Logs:
        self._begin()
        logs_after, with_output = self._logs(model)
        self.feed.on_epoch_begin()
        early = self.calls_early(hooks)
        result, first = None, self.steps_run
        with closing(self._results(with_output=with_output, hooks=hooks)) as results:
            while not stopped():
                if hooks and early and self.expects_batch(first):
                    hooks.begin(first)
                    self.metrics.reset()
                if (following := next(results, None)) is None:
                    break
                result = following
                if hooks and not early:
                    hooks.begin(first)
                    self.metrics.reset()
                self._add(result)
                last = self._last_batch(result)
                first = last + 1
                if hooks:
                    hooks.end(last, logs_after(result))
                    # As in Keras, callbacks may reset the metrics, or evaluate by them.
                    self.metrics.reset()
        self.feed.on_epoch_end()
        return {} if result is None else logs_after(result)

    def _logs(self, model: keras.Model) -> tuple[Callable[[Result], Logs], bool]:
        """Return what gives the logs after a dispatch, and whether that needs the step's output.

        As in Keras, the logs hold what a train_step or test_step of the user's own returned last.
        Metrics' results are those of all workers.
        """
        demand = self.program.demand
        returned = demand.outputs if isinstance(demand.outputs, dict) else {}
        names = set(model.get_metrics_result())
        # Keras takes a dictionary with the metrics' names for their results.
        merged = names if names == set(returned) else demand.metric_results & names
        with_output = not merged.issuperset(returned)

        def logs_after(result: Result) -> Logs:
            self.metrics.assign()
            results = model.get_metrics_result()
            if returned:
                output = self.output(result) if with_output else {}
                results = {n: results[n] if n in merged else output[n] for n in returned}
            return _keras.plain_logs(results)

        return logs_after, with_output

    def calls_early(self, hooks: BatchHooks | None) -> bool:
        """Whether the callbacks before a batch are called before its dispatch starts.

        Not with several workers: the batches of some are on their way while those of others end.
        """
        return hooks is not None and hooks.may_act and len(self._members) == 1

    def expects_batch(self, batch: int) -> bool:
        """Whether there may be a batch of this number, the next one."""
        at_end = batch > 0 and self._batches_read == self.feed.num_batches
        return not at_end and (self.num_steps is None or batch < self.num_steps)

    def _last_batch(self, result: Result) -> int:
        """Return the number of the last batch of a dispatch, for the callbacks.

        Keras does not look how many batches are left for the last dispatch of an epoch.
        """
        return self.steps_run - 1 + (result.missing if len(self._members) == 1 else 0)

    def output(self, result: Result) -> Any:
        """Return what the last step of a dispatch returned."""
        assert self.outputs is not None
        return self.outputs.restored(result.output)

    def _begin(self) -> None:
        self.metrics.reset()
        self._measured_before = self.program.measured()
        self._start_s = time.perf_counter()
        self.feed.reading = Reading()
        self.traffic = np.zeros(self.program.traffic_shape, np.int64)
        self.missed, self.steps_run = 0, self._resumes_after or 0

    def _add(self, result: Result) -> None:
        report = self.program.format.read(result.report)
        self.metrics.add(report.metrics)
        self.workers.dropped_updates += report.dropped
        self.traffic += report.traffic
        self.missed += report.missed
        self.steps_run += result.steps

    @property
    def _members(self) -> Sequence[int]:
        return range(self.workers.num_workers) if self.members is None else self.members

    def _results(
        self, *, with_output: bool = False, hooks: BatchHooks | None = None
    ) -> Generator[Result]:
        """Run the steps of an epoch: one run for each format in which parameters travel."""
        remaining = None if self.steps is None else self.steps - self.steps_run
        is_first = True
        continues, self._resumes_after = self._resumes_after is not None, None
        while is_first or remaining != 0:
            step, count = 0, remaining
            if boundaries := self.program.boundaries:
                step = self.program.global_step
                until = [self.program.steps_until(b, step) for b in boundaries if b > step]
                count = min([*until, *([] if remaining is None else [remaining])], default=None)
            dispatch = self.program.dispatch(
                most_steps=self.steps_per_dispatch, with_output=with_output, step=step
            )
            ran = yield from self.run(
                dispatch,
                count,
                requested=self.steps,
                hooks=hooks,
                continues=continues,
            )
            if count is None or ran < count:
                return
            remaining = None if remaining is None else remaining - count
            is_first, continues = False, True

    def run(
        self,
        dispatch: Dispatch,
        steps: int | None,
        *,
        requested: int | None = None,
        continues: bool = False,
        hooks: BatchHooks | None = None,
    ) -> Generator[Result, None, int]:
        """Start a run and yield its results; start the data anew if it was read to its end.

        Args:
            dispatch: what the workers and the ps run.
            steps: the number of steps to run; None to read all data to its end.
            requested: the number of steps of the epoch; None if it ends with the data.
            continues: whether the epoch has had a run before.
            hooks: what the caller calls between the results.

        Returns:
            The number of steps that ran.
        """
        if not continues:
            if requested is None or self._batches_read == self.feed.num_batches:
                self._restart_data()
            self._used_before = self._batches_read
        in_step = self.feed.start_run(
            self._members, in_step=dispatch.in_step, most_apart=self.most_apart
        )
        ran = 0
        takes_part = [w in self._members for w in range(self.workers.num_workers)]
        with (
            self.program.used(),
            self.workers.team() as team,
            PsThreads(dispatch.ps_programs, takes_part) as ps_threads,
            self.feed.prefetching(self.workers),
        ):
            run = Run(
                self.feed,
                dispatch.function,
                ps_threads,
                workers=self._members,
                steps=steps,
                steps_per_dispatch=self.steps_per_dispatch,
                in_step=in_step,
                pauses=hooks is not None and hooks.may_act,
            )
            run.start(team)
            with closing(run.results()) as results:
                for result in results:
                    self._batches_read += result.steps
                    ran += result.steps
                    yield result
        if run.is_at_end:
            self._ended(requested)
        return ran

    def _ended(self, requested: int | None) -> None:
        """Restart data that ended before all steps of an epoch had run, and warn of it."""
        if requested is not None:
            self._restart_data()
            text = f"The data of all workers ended before {requested} steps had run."
        elif not self._batches_read:
            text = "The data holds no batch, so no step has run."
        elif self.batches is not None and self._batches_read < self.batches:
            text = f"The data ended after {self._batches_read} of {self.batches} batches."
        else:
            return
        if self.feed.may_leave_some:
            text += (
                " Each worker was to read as many as the others, and some had fewer: the data "
                "of others may not have been read to its end."
            )
        warnings.warn(f"{text} Give more, for example with .repeat().", stacklevel=2)

    def _restart_data(self) -> None:
        self.feed.start_epoch()
        self._batches_read = 0
