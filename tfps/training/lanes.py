"""A lane per worker: the thread that talks to it, and all of them together."""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfps._tensorflow import on_worker, remove_dropped_functions, workers
from tfps.training.data import Source
from tfps.training.dispatch import Run
from tfps.training.feed import Feed
from tfps.training.serving import Serving
from tfps.worker import worker_local


class Lane:
    """The thread that talks to one worker; one call at a time."""

    def __init__(self, worker: int, handle: Any) -> None:
        """Start the thread for the worker of an index; `handle` is the coordinator's for it."""
        self.worker = worker
        self._handle = handle
        self._numbers: dict[int, tf.Tensor] = {}
        self._jobs: queue.SimpleQueue[Callable[[Lane], None] | None] = queue.SimpleQueue()
        name = f"tfps-lane-worker-{worker}"
        threading.Thread(target=_serve, args=(self, self._jobs), name=name, daemon=True).start()

    def put(self, job: Callable[[Lane], None] | None) -> None:
        """Have `job` called in this lane's thread after those before it; None ends the thread."""
        self._jobs.put(job)

    def run(
        self,
        call: Callable[[], Any],
        *,
        on_lost: Callable[[], None] = lambda: None,
        on_back: Callable[[], None] = lambda: None,
    ) -> Any:
        """Run `call` on the worker; return what it gives, or None when the worker was lost.

        In that case `on_lost` is called at once, and `on_back`, on the worker, when it is back.
        """

        def lost() -> None:
            self._numbers.clear()
            worker_local.begin()
            on_lost()

        with on_worker(self._handle, on_failure=lost, on_recovery=on_back):
            return call()
        return None  # on_worker has dealt with a lost worker

    def number(self, value: int) -> tf.Tensor:
        """Return an int64 scalar that lies on the worker; to be called in `run`."""
        if value not in self._numbers:
            self._numbers[value] = tf.constant(value, tf.int64)
        return self._numbers[value]


def _serve(lane: Lane, jobs: queue.SimpleQueue[Callable[[Lane], None] | None]) -> None:
    worker_local.enter(lane.worker)
    while (job := jobs.get()) is not None:
        job(lane)


class Lanes:
    """The lanes of all workers of a strategy.

    Attributes:
        dropped_updates: how many updates were dropped since their gradients were not finite.
    """

    def __init__(self, coordinator: Any) -> None:
        """Start a lane for each worker of a ClusterCoordinator."""
        self.dropped_updates = 0
        self._lanes = [Lane(index, handle) for index, handle in enumerate(workers(coordinator))]
        weakref.finalize(self, _end, self._lanes)

    @property
    def num_workers(self) -> int:
        """How many workers, and lanes, there are."""
        return len(self._lanes)

    def feed(self, source: Source) -> Feed:
        """Build the datasets of `source` on all workers, and return them."""
        feed = Feed(source, self.num_workers)
        self.on_each(feed.build)
        feed.agree()
        remove_dropped_functions()  # no worker is busy: each has just built its data
        return feed

    def start(
        self,
        feed: Feed,
        function: Any,
        serving: Serving,
        *,
        steps: int | None,
        steps_per_dispatch: int,
    ) -> Run:
        """Start a run; the arguments are those of `Run`."""
        run = Run(
            feed,
            function,
            serving,
            workers=self.num_workers,
            steps=steps,
            steps_per_dispatch=steps_per_dispatch,
        )
        for lane in self._lanes:
            lane.put(run.work)
        return run

    def on_each(self, call: Callable[[int], Any]) -> None:
        """Run `call(worker)` on every worker, and wait for all; a lost one is tried again."""
        errors: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

        def job(lane: Lane) -> None:
            try:
                done = False
                while not done:
                    done = lane.run(lambda: call(lane.worker) or True)
                errors.put(None)
            except BaseException as error:
                errors.put(error)

        for lane in self._lanes:
            lane.put(job)
        raised = [error for error in (errors.get() for _ in self._lanes) if error is not None]
        if raised:
            raise raised[0]


def _end(lanes: list[Lane]) -> None:
    for lane in lanes:
        lane.put(None)
