"""Which worker runs which steps: a run, a number of steps that all workers share.

The thread of each worker takes a few steps from the run, has its worker run them in one call (a
dispatch), and takes the next. A worker at the end of its data leaves the run. A worker that is lost
gives its steps back, so that the others finish the run, and joins again when it is back.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from tfps.params.placement import CHIEF_DEVICE
from tfps.step.report import steps_of
from tfps.training.data_errors import explained
from tfps.training.feed import Feed
from tfps.training.pool import Team, WorkerThread
from tfps.training.ps_threads import PsThreads

_PATIENCE_S = 60


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of one dispatch.

    Attributes:
        worker: the index of the worker.
        first_batch: the number of the first of its batches, in the order of the data.
        steps: the number of steps that ran.
        missing: how many more would have run if there had been data.
        is_at_end: whether nothing is left for the worker.
        report: the report of the steps, uint8: the first output of the run's function.
        output: its second output, as tensors on the chief.
    """

    worker: int
    first_batch: int = 0
    steps: int = 0
    missing: int = 0
    is_at_end: bool = False
    report: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.uint8))
    output: Any = None


class Run:
    """A number of steps that workers share."""

    def __init__(
        self,
        feed: Feed,
        function: Callable[[Any, tf.Tensor, tf.Tensor], tuple[tf.Tensor, Any]],
        ps_threads: PsThreads,
        *,
        workers: Iterable[int],
        steps: int | None,
        steps_per_dispatch: int,
        in_step: bool,
        pauses: bool = False,
    ) -> None:
        """Describe the run; `start` starts it.

        Args:
            feed: the data.
            function: a concrete function of (iterator, number of steps, worker index), which
                returns a report of the steps that ran and any structure of tensors.
            ps_threads: the programs that run on the ps meanwhile; they are told which workers take
                part.
            workers: the indices of the workers that take part.
            steps: the number of steps to run; None to read all data to its end.
            steps_per_dispatch: the most steps of one dispatch.
            in_step: whether each worker goes on only after one step of every other worker.
            pauses: whether a dispatch starts only while the caller waits for a result, so that none
                starts while a callback runs.
        """
        self._feed = feed
        self._function = function
        self._ps_threads = ps_threads
        ps_threads.on_error = self._fail
        self._remaining = steps
        self._steps_per_dispatch = steps_per_dispatch
        self._in_step = in_step
        self._changed = threading.Condition()
        self._workers = frozenset(workers)
        self._with_data = set(self._workers)
        self._members = set(self._workers)
        self._taken = dict.fromkeys(self._workers, 0)
        self._in_flight: set[int] = set()
        self._losses = 0
        self._results: collections.deque[Result] = collections.deque()
        self._most_results = 2 * len(self._workers)
        self._pauses = pauses
        self._is_awaited = False
        self._error: BaseException | None = None
        self._stopped = False

    @property
    def is_at_end(self) -> bool:
        """Whether the run is over because the data has ended."""
        return self._remaining != 0 and not self._with_data

    def start(self, team: Team) -> None:
        """Start to work in the threads of the workers that take part."""
        for thread in team.threads:
            if thread.worker in self._workers:
                thread.submit(self.work)

    def results(self) -> Generator[Result]:
        """Yield the results of the dispatches as they end, until the run is over.

        When the caller stops early, no new dispatch starts; those in flight are waited for.

        Raises:
            Exception: the first error of a dispatch.
        """
        try:
            while (result := self._next_result()) is not None:
                yield result
        finally:
            with self._changed:
                self._stopped = True
                self._changed.notify_all()
                self._wait_for(lambda: not self._in_flight)

    def _next_result(self) -> Result | None:
        with self._changed:
            self._is_awaited = True
            self._changed.notify_all()
            self._wait_for(lambda: self._results or self._error or self._is_over())
            self._is_awaited = False
            if not self._results and self._error is not None:
                raise self._error
            if not self._results:
                return None
            self._changed.notify_all()
            return self._results.popleft()

    def _is_over(self) -> bool:
        nothing_left = self._stopped or self._remaining == 0 or not self._with_data
        return nothing_left and not self._in_flight

    def _wait_for(self, condition: Callable[[], Any]) -> None:
        """Wait until dispatches make `condition` true; say so if that takes long."""
        while not self._changed.wait_for(condition, timeout=_PATIENCE_S):
            workers = ", ".join(str(worker) for worker in sorted(self._in_flight)) or "any"
            print(
                f"No dispatch has ended for {_PATIENCE_S} s: waiting for worker {workers}.",
                file=sys.stderr,
                flush=True,
            )

    def work(self, thread: WorkerThread) -> None:
        """Run steps on the worker of `thread` until none are left for it."""
        try:
            is_member = True
            while (steps := self._take(thread.worker)) != 0:
                if steps is None:
                    is_member = self._leave(thread.worker)
                    self._wait_for_steps(thread.worker)
                    continue
                if not is_member:
                    self._join(thread.worker)
                is_member = self._dispatch(thread, steps)
        except BaseException as error:
            self._fail(error)
        finally:
            self._leave(thread.worker)

    def _join(self, worker: int) -> None:
        with self._changed:
            taken = self._taken_by_members()
            self._taken[worker] = max(self._taken[worker], min(taken, default=0))
            self._members.add(worker)
        self._ps_threads.add_worker(worker)

    def _leave(self, worker: int) -> bool:
        """Have no other worker wait for this one; return whether it is a member: False."""
        with self._changed:
            self._members.discard(worker)
            self._changed.notify_all()
        try:
            self._ps_threads.remove_worker(worker)
        except BaseException as error:
            self._fail(error)
        return False

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def _take(self, worker: int) -> int | None:
        """Take steps for one dispatch, as soon as the worker may.

        Returns:
            The number of steps; 0 if the run is over, None if others may still give some back.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._may_take(worker) or not self._has_any(worker) or self._is_done()
            )
            if self._is_done():
                return 0
            if not self._may_take(worker):
                return None
            steps = self._steps_per_dispatch
            if self._remaining is not None:
                steps = min(steps, self._share(worker))
                self._remaining -= steps
            self._taken[worker] += steps
            self._in_flight.add(worker)
            return steps

    def _share(self, worker: int) -> int:
        """Return the most of the remaining steps that a worker may take."""
        assert self._remaining is not None
        if not self._in_step:
            return self._remaining
        taken = self._taken_by_members()
        behind = max(taken, default=0) - self._taken[worker]
        equal = math.ceil(self._remaining / max(len(taken), 1))
        return min(self._remaining, behind if behind > 0 else equal)

    def _taken_by_members(self) -> list[int]:
        return [self._taken[worker] for worker in self._members & self._with_data]

    def _wait_for_steps(self, worker: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._may_take(worker) or self._is_done())

    def _has_any(self, worker: int) -> bool:
        return self._remaining != 0 and worker in self._with_data

    def _may_take(self, worker: int) -> bool:
        if not self._has_any(worker) or len(self._results) >= self._most_results:
            return False
        if self._pauses and (self._results or not self._is_awaited):
            return False
        # Where workers go in step, none takes more steps than the others will run, too.
        taken = self._taken_by_members()
        return not (self._in_step and taken) or self._taken[worker] <= min(taken)

    def _is_done(self) -> bool:
        return self._error is not None or self._is_over() or self._stopped

    def _dispatch(self, thread: WorkerThread, steps: int) -> bool:
        """Run steps on a worker; return whether it is still a member of the run."""
        to_return = [steps]  # empty once they are returned: when the worker is lost or has run

        def give_back(unused: int) -> None:
            with self._changed:
                if to_return:
                    to_return.clear()
                    self._in_flight.discard(thread.worker)
                    self._taken[thread.worker] -= unused
                    if self._remaining is not None:
                        self._remaining += unused
                self._changed.notify_all()

        def lost() -> None:
            self._feed.give_back(thread.worker)
            with self._changed:
                self._losses += 1
                # Others get what was given back, and it may be all that was left.
                self._with_data = set(self._workers - {thread.worker}) or {thread.worker}
            give_back(steps)
            self._leave(thread.worker)

        losses = self._losses
        try:
            result = thread.run(lambda: self._call(thread, steps), on_lost=lost)
        except BaseException as error:
            self._fail(explained(error, f"Worker {thread.worker}"))
            give_back(0)
            raise
        if result is None:
            give_back(steps)
            with self._changed:
                if not self._is_over():
                    self._with_data.add(thread.worker)
                self._changed.notify_all()
            return False
        if result.is_at_end and self._feed.error is not None:
            self._fail(self._feed.error)
        with self._changed:
            if result.steps:
                self._results.append(result)
            if result.is_at_end and losses == self._losses:
                self._with_data.discard(thread.worker)
        give_back(steps - result.steps)
        return True

    def _call(self, thread: WorkerThread, steps: int) -> Result:
        worker = thread.worker
        iterator, available = self._feed.iterator(worker, steps)
        if not available:
            return Result(worker, is_at_end=True)
        report, output = self._function(iterator, thread.scalar(available), thread.scalar(worker))
        on_chief = report.numpy()
        steps_run = steps_of(on_chief)
        # The batches count as used only once all results have arrived.
        fetched = tf.nest.map_structure(_on_chief, output) if steps_run else None
        first_batch = self._feed.count(worker, steps_run, at_end=steps_run < available)
        return Result(
            worker,
            first_batch,
            steps_run,
            self._feed.limited(steps) - steps_run,
            report=on_chief,
            output=fetched,
        )


def _on_chief(tensor: tf.Tensor) -> tf.Tensor:
    with tf.device(CHIEF_DEVICE):
        return tf.identity(tensor)
