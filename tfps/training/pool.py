"""The chief's threads: a team has one for each worker, and the pool holds the teams."""

from __future__ import annotations

import contextlib
import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tfps._tensorflow import new_stream, on_worker, remove_dropped_functions, workers
from tfps.training.data_errors import explained
from tfps.training.dealt import DealtFeed
from tfps.training.feed import Feed
from tfps.training.shares import ShareFeed
from tfps.training.sources import ChiefSource, FunctionSource, Source
from tfps.worker import per_worker


class WorkerThread:
    """The thread that talks to one worker, in one call at a time.

    Attributes:
        worker: the index of the worker.
    """

    def __init__(self, worker: int, handle: Any, stream: Any) -> None:
        """Start the thread.

        Args:
            worker: the index of the worker.
            handle: the coordinator's object for the worker.
            stream: the stream of the thread's calls; None is the coordinator's.
        """
        self.worker = worker
        self._handle = handle
        self._stream = stream
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
    ) -> Any:
        """Run `call` on the worker and return its result, or None if the worker was lost.

        If the worker is lost, `on_lost` is called at once, and this returns when it is back.
        """

        def lost() -> None:
            self._scalars.clear()
            per_worker.reset()
            on_lost()

        with on_worker(self._handle, stream=self._stream, on_failure=lost):
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


class Team:
    """A thread for each worker, for one thing at a time."""

    def __init__(self, threads: list[WorkerThread]) -> None:
        self.threads = threads

    def submit(self, task: Callable[[WorkerThread], None]) -> None:
        """Have each thread call `task` with itself, after the tasks before it."""
        for thread in self.threads:
            thread.submit(task)


class WorkerPool:
    """The threads of all workers of a strategy.

    Most of the time one team is all there is. If a callback of a run evaluates, predicts or trains,
    another team does that, beside the run: the first one's workers may be in the middle of steps,
    and may wait there for each other.

    Attributes:
        dropped_updates: the number of updates that were dropped because their gradients were not
            finite.
    """

    def __init__(self, coordinator: Any) -> None:
        """Start a thread for each worker of a ClusterCoordinator."""
        self.dropped_updates = 0
        self._handles = workers(coordinator)
        self._threads: list[WorkerThread] = []
        self._teams: list[Team] = []
        self._busy: list[Team] = []
        self._choosing = threading.Lock()
        weakref.finalize(self, _end, self._threads)

    @property
    def num_workers(self) -> int:
        """The number of workers."""
        return len(self._handles)

    @contextlib.contextmanager
    def team(self) -> Iterator[Team]:
        """Have a team for the block that does nothing else: the first one that is free."""
        with self._choosing:
            free = [team for team in self._teams if team not in self._busy]
            team = free[0] if free else self._new_team()
            self._busy.append(team)
        try:
            yield team
        finally:
            with self._choosing:
                self._busy.remove(team)

    def _new_team(self) -> Team:
        is_first = not self._teams
        threads = [
            WorkerThread(worker, handle, None if is_first else new_stream())
            for worker, handle in enumerate(self._handles)
        ]
        self._threads += threads
        self._teams.append(Team(threads))
        return self._teams[-1]

    def feed(self, source: Source) -> Feed:
        """Return the batches of `source`, with the datasets that it needs on the workers."""
        feed = (
            DealtFeed(source, self.num_workers)
            if isinstance(source, ChiefSource)
            else self._built(source)
        )
        if not self._busy:
            remove_dropped_functions()  # no worker is busy
        return feed

    def _built(self, source: Source) -> Feed:
        assert isinstance(source, FunctionSource)
        feed = ShareFeed(source, self.num_workers)
        self.run_on_each(feed.build)
        feed.unify_types()
        return feed

    @contextlib.contextmanager
    def closing(self, feed: Feed) -> Iterator[None]:
        """Close a feed after the block."""
        try:
            yield
        finally:
            feed.close(self)

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
                outcomes.put(explained(error, f"Worker {thread.worker}"))

        with self.team() as team:
            team.submit(task)
            errors = [outcome for outcome in (outcomes.get() for _ in team.threads) if outcome]
        if errors:
            raise errors[0]


def _end(threads: list[WorkerThread]) -> None:
    for thread in threads:
        thread.submit(None)
