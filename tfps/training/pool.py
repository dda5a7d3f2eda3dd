"""The chief's threads: one talks to each worker, and the pool holds them all."""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfps._tensorflow import on_worker, remove_dropped_functions, workers
from tfps.training.data import Source
from tfps.training.feed import Feed
from tfps.worker import per_worker


class WorkerThread:
    """The thread that talks to one worker, in one call at a time.

    Attributes:
        worker: the index of the worker.
    """

    def __init__(self, worker: int, handle: Any) -> None:
        """Start the thread; `handle` is the coordinator's object for the worker."""
        self.worker = worker
        self._handle = handle
        self._scalars: dict[int, tf.Tensor] = {}
        self._tasks: queue.SimpleQueue[Callable[[WorkerThread], None] | None] = queue.SimpleQueue()
        name = f"tfps-worker-{worker}"
        threading.Thread(target=_loop, args=(self, self._tasks), name=name, daemon=True).start()

    def submit(self, task: Callable[[WorkerThread], None] | None) -> None:
        """Have the thread call `task(self)` after the tasks before it; None ends the thread."""
        self._tasks.put(task)

    def run(
        self,
        call: Callable[[], Any],
        *,
        on_lost: Callable[[], None] = lambda: None,
        on_recovered: Callable[[], None] = lambda: None,
    ) -> Any:
        """Run `call` on the worker and return its result, or None if the worker was lost.

        If the worker is lost, `on_lost` is called at once. When it is back, `on_recovered` is
        called on it.
        """

        def lost() -> None:
            self._scalars.clear()
            per_worker.reset()
            on_lost()

        with on_worker(self._handle, on_failure=lost, on_recovery=on_recovered):
            return call()
        return None  # on_worker has dealt with a lost worker

    def scalar(self, value: int) -> tf.Tensor:
        """Return an int64 scalar that lies on the worker; to be called in `run`."""
        if value not in self._scalars:
            self._scalars[value] = tf.constant(value, tf.int64)
        return self._scalars[value]


def _loop(
    thread: WorkerThread, tasks: queue.SimpleQueue[Callable[[WorkerThread], None] | None]
) -> None:
    per_worker.enter(thread.worker)
    while (task := tasks.get()) is not None:
        task(thread)


class WorkerPool:
    """The threads of all workers of a strategy.

    Attributes:
        dropped_updates: the number of updates that were dropped because their gradients were not
            finite.
    """

    def __init__(self, coordinator: Any) -> None:
        """Start a thread for each worker of a ClusterCoordinator."""
        self.dropped_updates = 0
        self._threads = [WorkerThread(i, handle) for i, handle in enumerate(workers(coordinator))]
        weakref.finalize(self, _end, self._threads)

    @property
    def num_workers(self) -> int:
        """The number of workers."""
        return len(self._threads)

    def feed(self, source: Source) -> Feed:
        """Build the datasets of `source` on all workers, and return them."""
        feed = Feed(source, self.num_workers)
        self.run_on_each(feed.build)
        feed.unify_types()
        remove_dropped_functions()  # no worker is busy: each has just built its data
        return feed

    def submit(self, task: Callable[[WorkerThread], None]) -> None:
        """Have each thread call `task` with itself, after the tasks before it."""
        for thread in self._threads:
            thread.submit(task)

    def run_on_each(self, call: Callable[[int], Any]) -> None:
        """Run `call(worker)` on every worker, and wait for all of them.

        If a worker is lost, its call is repeated when it is back.

        Raises:
            Exception: the first error of a call.
        """
        outcomes: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

        def task(thread: WorkerThread) -> None:
            try:
                done = False
                while not done:
                    done = thread.run(lambda: call(thread.worker) or True)
                outcomes.put(None)
            except BaseException as error:
                outcomes.put(error)

        self.submit(task)
        errors = [error for error in (outcomes.get() for _ in self._threads) if error is not None]
        if errors:
            raise errors[0]


def _end(threads: list[WorkerThread]) -> None:
    for thread in threads:
        thread.submit(None)
