"""Which worker runs what, and when: runs, which the lanes of the workers share.

A run is a number of steps that all workers work off together, each on its own data. A lane takes
a few steps from the run, has its worker do them in one call (a dispatch), and takes the next. A
worker whose data is at its end leaves the run. One that is lost gives its steps back, so that the
others finish the run, and joins in again when it is back.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfps.params.placement import CHIEF_DEVICE
from tfps.step.report import steps_of
from tfps.training.feed import Feed
from tfps.training.serving import Serving

if TYPE_CHECKING:
    from tfps.training.lanes import Lane

_PATIENCE_S = 60


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What one dispatch gave.

    Attributes:
        worker: the index of the worker.
        first_batch: how many batches the worker had used in this epoch before.
        steps: how many steps ran.
        report: the bytes that the run's function returned first, uint8.
        output: what it returned besides, as tensors on the chief.
    """

    worker: int
    first_batch: int
    steps: int
    report: np.ndarray
    output: Any


class Run:
    """A number of steps that the lanes work off together."""

    def __init__(
        self,
        feed: Feed,
        function: Callable[[Any, tf.Tensor, tf.Tensor], tuple[tf.Tensor, Any]],
        serving: Serving,
        *,
        workers: int,
        steps: int | None,
        steps_per_dispatch: int,
    ) -> None:
        """Describe the run; `Lanes.start` starts it.

        Args:
            feed: the data.
            function: a concrete function of (iterator, number of steps, worker index), which
                returns a report of the steps that ran and any structure of tensors.
            serving: what runs on the ps meanwhile, and is told which workers take part.
            workers: how many lanes there are.
            steps: how many steps to run; None to read all data to its end.
            steps_per_dispatch: the most steps of one dispatch.
        """
        self._feed = feed
        self._function = function
        self._serving = serving
        serving.on_error = self._fail
        self._remaining = steps
        self._steps_per_dispatch = steps_per_dispatch
        self._changed = threading.Condition()
        self._with_data = set(range(workers))
        self._present = set(range(workers))
        self._taken = [0] * workers
        self._under_way: set[int] = set()
        self._results: collections.deque[Result] = collections.deque()
        self._most_results = 2 * workers
        self._error: BaseException | None = None
        self._stopped = False

    @property
    def out_of_data(self) -> bool:
        """Whether the data ended before the steps did."""
        return bool(self._remaining) and not self._with_data

    def results(self) -> Iterator[Result]:
        """Yield what the dispatches give, as they end, until the run is over.

        When the caller stops early, no new dispatch starts; those under way are waited for.

        Raises:
            Exception: the first that a dispatch raised.
        """
        try:
            while (result := self._next_result()) is not None:
                yield result
        finally:
            with self._changed:
                self._stopped = True
                self._changed.notify_all()
                self._wait_for(lambda: not self._under_way)

    def _next_result(self) -> Result | None:
        with self._changed:
            self._wait_for(lambda: self._results or self._error or self._over())
            if self._error is not None:
                raise self._error
            if not self._results:
                return None
            self._changed.notify_all()
            return self._results.popleft()

    def _over(self) -> bool:
        nothing_left = self._stopped or self._remaining == 0 or not self._with_data
        return nothing_left and not self._under_way

    def _wait_for(self, condition: Callable[[], Any]) -> None:
        """Wait for something that dispatches lead to, and say so where that takes long."""
        while not self._changed.wait_for(condition, timeout=_PATIENCE_S):
            workers = ", ".join(str(worker) for worker in sorted(self._under_way)) or "any"
            print(
                f"No dispatch has ended for {_PATIENCE_S} s: waiting for worker {workers}.",
                file=sys.stderr,
                flush=True,
            )

    def work(self, lane: Lane) -> None:
        """Work off steps on the worker of `lane` until there are none for it."""
        try:
            takes_part = True
            while (steps := self._take(lane.worker)) != 0:
                if steps is None:
                    takes_part = self._leave(lane.worker)
                    self._wait_for_steps(lane.worker)
                    continue
                if not takes_part:
                    self._join(lane.worker)
                takes_part = self._dispatch(lane, steps)
        except BaseException as error:
            self._fail(error)
        finally:
            self._leave(lane.worker)

    def _join(self, worker: int) -> None:
        with self._changed:
            present = self._taken_by_those_present()
            self._taken[worker] = max(self._taken[worker], min(present, default=0))
            self._present.add(worker)
        self._serving.joins(worker)

    def _leave(self, worker: int) -> bool:
        """Have no other worker wait for this one; return whether it takes part: False."""
        with self._changed:
            self._present.discard(worker)
            self._changed.notify_all()
        try:
            self._serving.leaves(worker)
        except BaseException as error:
            self._fail(error)
        return False

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def _take(self, worker: int) -> int | None:
        """Take steps for one dispatch.

        Returns:
            How many; 0 if there will be none any more, None if others may give some back.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._may_take(worker)
                    or self._remaining == 0
                    or self._nothing_to_wait_for(worker)
                )
            )
            if self._nothing_to_wait_for(worker):
                return 0
            if self._remaining == 0:
                return None
            steps = self._steps_per_dispatch
            if self._remaining is not None:
                steps = min(steps, self._share(worker))
                self._remaining -= steps
            self._taken[worker] += steps
            self._under_way.add(worker)
            return steps

    def _share(self, worker: int) -> int:
        """Return how many of the steps that remain a worker may take at most."""
        assert self._remaining is not None
        if not self._serving.in_step:
            return self._remaining
        present = self._taken_by_those_present()
        behind = max(present, default=0) - self._taken[worker]
        equal = math.ceil(self._remaining / max(len(present), 1))
        return min(self._remaining, behind if behind > 0 else equal)

    def _taken_by_those_present(self) -> list[int]:
        return [self._taken[worker] for worker in self._present & self._with_data]

    def _wait_for_steps(self, worker: int) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._may_take(worker) or self._nothing_to_wait_for(worker)
            )

    def _may_take(self, worker: int) -> bool:
        if self._remaining == 0 or len(self._results) >= self._most_results:
            return False
        # Where workers go in step, nobody takes more steps than the others will do, too.
        present = self._taken_by_those_present()
        return not (self._serving.in_step and present) or self._taken[worker] <= min(present)

    def _nothing_to_wait_for(self, worker: int) -> bool:
        return bool(self._error) or worker not in self._with_data or self._over() or self._stopped

    def _dispatch(self, lane: Lane, steps: int) -> bool:
        """Run steps on a worker; return whether it takes part in the run as before."""
        held = [steps]  # given back once, when the worker is lost or has run

        def give_back(unused: int) -> None:
            with self._changed:
                if held and self._remaining is not None:
                    self._remaining += unused
                if held:
                    held.clear()
                    self._under_way.discard(lane.worker)
                self._changed.notify_all()

        def lost() -> None:
            give_back(steps)
            self._leave(lane.worker)

        try:
            result = lane.run(
                lambda: self._call(lane, steps),
                on_lost=lost,
                on_back=lambda: self._feed.rebuild(lane.worker),
            )
        except BaseException as error:
            self._fail(error)
            give_back(0)
            raise
        if result is None:
            give_back(steps)
            return False
        with self._changed:
            if result.steps < steps:
                self._with_data.discard(lane.worker)
            if result.steps:
                self._results.append(result)
        give_back(steps - result.steps)
        return True

    def _call(self, lane: Lane, steps: int) -> Result:
        iterator = self._feed.iterator(lane.worker)
        numbers = lane.number(steps), lane.number(lane.worker)
        on_worker, output = self._function(iterator, *numbers)
        report = on_worker.numpy()
        ran = steps_of(report)
        fetched = tf.nest.map_structure(_on_chief, output) if ran else None
        first = self._feed.count(lane.worker, ran)
        return Result(
            worker=lane.worker, first_batch=first, steps=ran, report=report, output=fetched
        )


def _on_chief(tensor: tf.Tensor) -> tf.Tensor:
    with tf.device(CHIEF_DEVICE):
        return tf.identity(tensor)
