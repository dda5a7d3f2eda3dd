"""How the workers share the steps of a run; fake threads, no cluster."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

from tfps.training.ps_threads import PsThreads
from tfps.training.run import Run

DEADLINE_S = 10.0


@dataclasses.dataclass
class Share:
    left: int
    used: int = 0


class FakeFeed:
    """Endless data, or shares of so many batches: each worker's own, and then those that are left.

    Attributes:
        ended: is set when the worker of this number has found nothing left.
        error: what the chief's reading has raised.
    """

    error: BaseException | None = None

    def __init__(self, batches: list[int] | None = None, *, workers: int = 3, most: int = 100):
        self.ended = [threading.Event() for _ in range(workers)]
        self.is_endless = batches is None
        self._shares = [Share(left) for left in batches or [0] * workers]
        self._own: dict[int, Share | None] = dict(enumerate(self._shares[:workers]))
        self._free = self._shares[workers:]
        self._most = most
        self._lock = threading.Lock()

    def limited(self, steps: int) -> int:
        return min(steps, self._most)

    def iterator(self, worker: int, steps: int) -> tuple[Share | None, int]:
        with self._lock:
            share = self._own[worker]
            if share is None and self._free:
                share = self._own[worker] = self._free.pop(0)
            if share is None:
                self.ended[worker].set()
            return share, self.limited(steps) if share is not None else 0

    def count(self, worker: int, batches: int, *, at_end: bool) -> int:
        share = self._own[worker]
        assert share is not None
        share.used += batches
        if at_end:
            assert not self.is_endless
            self._own[worker] = None
        return share.used - batches

    def give_back(self, worker: int) -> None:
        with self._lock:
            if (share := self._own[worker]) is not None:
                self._free.insert(0, share)
            self._own[worker] = None


class FakeThread:
    """A thread whose worker is lost in the dispatches of the given numbers, counted from 0."""

    def __init__(
        self,
        worker: int,
        lost_in: tuple[int, ...] = (),
        *,
        before: threading.Event | None = None,
        back: threading.Event | None = None,
    ) -> None:
        """Describe the thread.

        Args:
            worker: the worker.
            lost_in: the dispatches.
            before: what happens before it is lost.
            back: what it is back after.
        """
        self.lost = threading.Event()
        self.worker = worker
        self._lost_in = lost_in
        self._before, self._back = before, back
        self._calls = 0

    def scalar(self, value: int) -> int:
        return value

    def run(self, call: Callable[[], Any], *, on_lost: Callable[[], None]) -> Any:
        self._calls += 1
        if self._calls - 1 in self._lost_in:
            assert self._before is None or self._before.wait(DEADLINE_S)
            on_lost()
            self.lost.set()
            assert self._back is None or self._back.wait(DEADLINE_S)
            return None
        return call()


class Step:
    """What the workers run; notes each call, and uses up the data of `feed`."""

    def __init__(self, feed: FakeFeed) -> None:
        self.calls: list[tuple[int, int]] = []
        self._feed = feed
        self._lock = threading.Lock()

    def __call__(self, share: Share, steps: int, worker: int) -> tuple[tf.Tensor, list[Any]]:
        with self._lock:
            ran = steps if self._feed.is_endless else min(steps, share.left)
            share.left -= ran
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
    assert not run.is_at_end


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


def test_a_worker_at_the_end_of_its_data_takes_what_a_lost_worker_gives_back() -> None:
    feed = FakeFeed([2, 8], workers=2)
    run = make(feed, Step(feed), None, workers=2, per_dispatch=1)
    back = threading.Event()
    threads = start(
        run, [FakeThread(0), FakeThread(1, lost_in=(3,), before=feed.ended[0], back=back)]
    )
    results = []
    for result in run.results():
        results.append(result)
        if sum(result.steps for result in results) == 10:
            back.set()
    assert ended(threads)
    assert sum(r.steps for r in results if r.worker == 1) == 3
    assert sum(r.steps for r in results if r.worker == 0) == 7
    assert run.is_at_end


def test_what_is_given_back_while_a_worker_finds_its_end_is_read() -> None:
    class Slow(FakeThread):
        """Has its result, that nothing is left, only once the other worker is lost."""

        def run(self, call: Callable[[], Any], *, on_lost: Callable[[], None]) -> Any:
            result = super().run(call, on_lost=on_lost)
            assert not result.is_at_end or other.lost.wait(DEADLINE_S)
            return result

    feed = FakeFeed([1, 4], workers=2)
    run = make(feed, Step(feed), None, workers=2, per_dispatch=1)
    back = threading.Event()
    other = FakeThread(1, lost_in=(1,), before=feed.ended[0], back=back)
    threads = start(run, [Slow(0), other])
    steps = 0
    for result in run.results():
        if (steps := steps + result.steps) == 5:
            back.set()
    assert ended(threads)
    assert steps == 5


def test_a_run_that_has_read_all_data_does_not_wait_for_a_lost_worker() -> None:
    feed = FakeFeed([2, 8], workers=2)
    run = make(feed, Step(feed), None, workers=2, per_dispatch=1)
    back = threading.Event()
    threads = start(run, [FakeThread(0), FakeThread(1, lost_in=(3,), back=back)])
    assert sum(result.steps for result in run.results()) == 10
    back.set()
    assert ended(threads)


@pytest.mark.parametrize("per_dispatch", [1, 3, 4, 100])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_takes_one_share_after_the_other(workers: int, per_dispatch: int) -> None:
    feed = FakeFeed([4] * 8, workers=workers)
    run = make(feed, Step(feed), None, workers=workers, per_dispatch=per_dispatch)
    threads = start(run, [FakeThread(worker) for worker in range(workers)])
    assert sum(result.steps for result in run.results()) == 32
    assert ended(threads)


def test_a_feed_that_gives_fewer_batches_at_a_time_runs_all_steps() -> None:
    feed = FakeFeed(most=3)
    step = Step(feed)
    run = make(feed, step, 50, per_dispatch=8)
    threads = start(run, [FakeThread(worker) for worker in range(3)])
    results = list(run.results())
    assert ended(threads)
    assert sum(result.steps for result in results) == 50
    assert {result.missing for result in results} == {0}
    assert max(ran for _, ran in step.calls) == 3


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
    assert run.is_at_end


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


def test_an_error_of_the_chief_s_reading_comes_when_the_data_before_it_is_used() -> None:
    feed = FakeFeed([5], workers=1)
    feed.error = ValueError("no such file")
    run = make(feed, Step(feed), None, workers=1, per_dispatch=2)
    threads = start(run, [FakeThread(0)])
    steps: list[int] = []
    with pytest.raises(ValueError, match="no such file"):
        steps.extend(result.steps for result in run.results())
    assert ended(threads)
    assert sum(steps) == 5


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
