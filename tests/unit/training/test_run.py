"""How the workers share the steps of a run; fake threads, no cluster."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

from tfps.training.ps_threads import PsThreads
from tfps.training.run import Run

DEADLINE_S = 10.0


class FakeFeed:
    """Endless data, or so many batches for each worker."""

    def __init__(self, batches: list[int] | None = None) -> None:
        self.left = batches
        self.rebuilt: list[int] = []
        self._used: collections.Counter[int] = collections.Counter()

    def iterator(self, worker: int, steps: int) -> int:
        return worker

    def count(self, worker: int, batches: int) -> int:
        self._used[worker] += batches
        return self._used[worker] - batches

    def give_back(self, worker: int) -> None:
        """Nothing: each worker has its own share."""

    def rebuild(self, worker: int) -> None:
        self.rebuilt.append(worker)


class FakeThread:
    """A thread whose worker is lost in the dispatches of the given numbers, counted from 0."""

    def __init__(self, worker: int, lost_in: tuple[int, ...] = ()) -> None:
        self.worker = worker
        self._lost_in = lost_in
        self._calls = 0

    def scalar(self, value: int) -> int:
        return value

    def run(
        self,
        call: Callable[[], Any],
        *,
        on_lost: Callable[[], None],
        on_recovered: Callable[[], None],
    ) -> Any:
        self._calls += 1
        if self._calls - 1 in self._lost_in:
            on_lost()
            on_recovered()
            return None
        return call()


class Step:
    """What the workers run; notes each call, and uses up the data of `feed`."""

    def __init__(self, feed: FakeFeed) -> None:
        self.calls: list[tuple[int, int]] = []
        self._feed = feed
        self._lock = threading.Lock()

    def __call__(self, iterator: int, steps: int, worker: int) -> tuple[tf.Tensor, list[Any]]:
        assert iterator == worker
        with self._lock:
            ran = steps if self._feed.left is None else min(steps, self._feed.left[worker])
            if self._feed.left is not None:
                self._feed.left[worker] -= ran
            self.calls.append((worker, ran))
        return tf.bitcast(tf.constant(ran, tf.int64), tf.uint8), []


def start(run: Run, fakes: list[FakeThread]) -> list[threading.Thread]:
    threads = [threading.Thread(target=run.work, args=(fake,), daemon=True) for fake in fakes]
    for thread in threads:
        thread.start()
    return threads


def ended(threads: list[threading.Thread]) -> bool:
    for thread in threads:
        thread.join(DEADLINE_S)
    return not any(thread.is_alive() for thread in threads)


def make(
    feed: FakeFeed, function: Any, steps: int | None, *, workers: int = 3, per_dispatch: int = 4
) -> Run:
    return Run(
        feed,  # type: ignore[arg-type]
        function,
        PsThreads([], [True] * workers),
        workers=range(workers),
        steps=steps,
        steps_per_dispatch=per_dispatch,
        in_step=False,
    )


@pytest.mark.parametrize("steps", [0, 1, 4, 50, 51])
@pytest.mark.parametrize("per_dispatch", [1, 4, 100])
def test_all_workers_together_run_the_exact_number_of_steps(steps: int, per_dispatch: int) -> None:
    feed = FakeFeed()
    step = Step(feed)
    run = make(feed, step, steps, per_dispatch=per_dispatch)
    threads = start(run, [FakeThread(worker) for worker in range(3)])
    results = list(run.results())
    assert ended(threads)
    assert sum(result.steps for result in results) == steps == sum(ran for _, ran in step.calls)
    assert max((ran for _, ran in step.calls), default=0) <= per_dispatch
    assert not run.out_of_data


def test_the_results_of_a_worker_say_which_batches_they_are_of() -> None:
    feed = FakeFeed([7, 3])
    run = make(feed, Step(feed), None, workers=2, per_dispatch=2)
    threads = start(run, [FakeThread(0), FakeThread(1)])
    results = list(run.results())
    assert ended(threads)
    for worker, batches in enumerate([7, 3]):
        mine = sorted((r.first_batch, r.steps) for r in results if r.worker == worker)
        covered = [b for first, steps in mine for b in range(first, first + steps)]
        assert covered == list(range(batches))


def test_steps_of_a_lost_worker_are_run_by_others() -> None:
    feed = FakeFeed()
    step = Step(feed)
    run = make(feed, step, 40)
    threads = start(
        run, [FakeThread(0, lost_in=(0, 1)), FakeThread(1), FakeThread(2, lost_in=(1,))]
    )
    assert sum(result.steps for result in run.results()) == 40
    assert ended(threads)
    assert sum(ran for _, ran in step.calls) == 40


def test_a_lost_worker_gets_its_data_anew() -> None:
    feed = FakeFeed()
    run = make(feed, Step(feed), 8, workers=1)
    threads = start(run, [FakeThread(0, lost_in=(0,))])
    assert sum(result.steps for result in run.results()) == 8
    assert ended(threads)
    assert feed.rebuilt == [0]


def test_a_worker_at_the_end_of_its_data_leaves_the_rest_to_others() -> None:
    feed = FakeFeed([5, 1000, 0])
    run = make(feed, Step(feed), 60)
    threads = start(run, [FakeThread(worker) for worker in range(3)])
    results = list(run.results())
    assert ended(threads)
    assert sum(result.steps for result in results) == 60
    assert sum(r.steps for r in results if r.worker == 0) <= 5
    assert not [r for r in results if r.worker == 2]


def test_a_run_whose_data_ends_early_says_so() -> None:
    feed = FakeFeed([5, 2, 0])
    run = make(feed, Step(feed), 60)
    threads = start(run, [FakeThread(worker) for worker in range(3)])
    assert sum(result.steps for result in run.results()) == 7
    assert ended(threads)
    assert run.out_of_data


def test_the_error_of_a_step_reaches_the_caller_and_ends_all_workers() -> None:
    def fail(_iterator: int, _steps: int, worker: int) -> tuple[tf.Tensor, list[Any]]:
        if worker == 1:
            raise ValueError("no such row")
        return tf.bitcast(tf.constant(1, tf.int64), tf.uint8), []

    run = make(FakeFeed(), fail, None, per_dispatch=1)
    threads = start(run, [FakeThread(worker) for worker in range(3)])
    with pytest.raises(ValueError, match="no such row"):
        list(run.results())
    assert ended(threads)


def test_workers_run_ahead_of_the_caller_by_a_bound() -> None:
    feed = FakeFeed()
    step = Step(feed)
    run = make(feed, step, None, workers=2, per_dispatch=1)
    threads = start(run, [FakeThread(0), FakeThread(1)])
    results = run.results()
    for taken in range(1, 30):
        next(results)
        # Four results wait at the most, and each worker may be at one more.
        assert len(step.calls) <= taken + 4 + 2
    results.close()  # type: ignore[attr-defined]
    assert ended(threads)
