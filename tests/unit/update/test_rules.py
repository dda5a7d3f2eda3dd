"""Rules decide by the ledger alone; simulated workers stand for real ones."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf

from tfps.update.asynchronous import DropAbove, WaitAbove
from tfps.update.bounded_staleness import NotAhead
from tfps.update.ledger import STALENESS_BINS, Ledger, Rule
from tfps.update.semi_synchronous import MeanOfAny
from tfps.update.synchronous import MeanOfEach
from tfps.worker.cache import KEEP

PUSHES = 120


class Ps:
    """A ps that takes pushes under a rule, as tensors, with a clock of its own."""

    def __init__(self, rule: Rule, workers: int) -> None:
        self.workers = workers
        self._now_s = 0.0
        self._rule = rule
        self.ledger = Ledger(*(tf.constant(value) for value in Ledger.empty(workers)))
        self._step = tf.function(self._traced, autograph=False)
        self.answers = np.zeros([workers], np.int64)
        """The last answer to each worker."""
        self.updates: list[int] = []
        """How many gradients each update was made of."""
        self.waiting: list[int] = []
        """How many gradients wait for the next one."""

    def join(self, *workers: int) -> list[int]:
        self.ledger = self.ledger.joined(self._mask(workers), self._time())
        return self._decide()

    def leave(self, *workers: int) -> list[int]:
        self.ledger = self.ledger.left(self._mask(workers))
        return self._decide()

    def push(self, worker: int, start: int) -> tuple[bool, list[int]]:
        """Push a gradient; return whether it counts, and which workers may start a step."""
        index, start_version = tf.constant(worker, tf.int64), tf.constant(start, tf.int64)
        counts = bool(self._rule.counts(self.ledger, index, start_version))
        lag = self._rule.lag(self.ledger, start_version)
        self.ledger = self.ledger.pushed(
            index, lag, self._time(), brought=tf.constant(True), counts=tf.constant(counts)
        )
        return counts, self._decide()

    def _decide(self) -> list[int]:
        gradients = int(self.ledger.gradients)
        due, started, answers, self.ledger = self._step(self.ledger, self._time())
        self.answers = np.where(started, answers, self.answers)
        if due:
            self.updates.append(gradients)
        return np.flatnonzero(started).tolist()

    def _traced(
        self, ledger: Ledger, now_s: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, Ledger]:
        due = self._rule.takes_effect(ledger)
        after = tf.nest.map_structure(lambda a, b: tf.where(due, a, b), ledger.updated(), ledger)
        started = self._rule.may_start(after) & after.waiting
        pulls = self._rule.pulls(after)
        return due, started, self._rule.answers(after), after.started(started, now_s, pulls=pulls)

    def _mask(self, workers: Sequence[int]) -> tf.Tensor:
        return tf.constant([worker in workers for worker in range(self.workers)])

    def _time(self) -> tf.Tensor:
        self._now_s += 1
        return tf.constant(self._now_s, tf.float64)

    @property
    def version(self) -> int:
        return int(self.ledger.version)


def run(ps: Ps, rule: Rule, pushes: int, seed: int = 0, slow: float = 5.0) -> list[int]:
    """Let workers push in a random order, the first of them seldom; return what was counted."""
    chance = random.Random(seed)
    start = dict.fromkeys(ps.join(*range(ps.workers)), ps.version)
    staleness = []
    for _ in range(pushes):
        assert start, "all workers wait"
        weights = [1 / slow if worker == 0 else 1.0 for worker in start]
        worker = chance.choices(list(start), weights)[0]
        lag = ps.version - start[worker]
        counts, started = ps.push(worker, start.pop(worker))
        if counts:
            staleness.append(lag)
        start.update(dict.fromkeys(started, ps.version))
    return staleness


@pytest.mark.parametrize(("bound", "workers"), [(0, 2), (1, 4), (4, 7), (4, 1)])
def test_no_step_ends_too_stale_where_steps_wait(bound: int, workers: int) -> None:
    rule = WaitAbove(bound)
    assert rule is not None
    staleness = run(Ps(rule, workers), rule, PUSHES)
    assert len(staleness) == PUSHES
    assert max(staleness) == min(bound, max(staleness)) <= bound
    assert workers == 1 or max(staleness) == bound


@pytest.mark.parametrize("bound", [0, 1, 4])
def test_what_is_too_stale_is_dropped_and_counted(bound: int) -> None:
    rule = DropAbove(bound)
    assert rule is not None
    ps = Ps(rule, 4)
    staleness = run(ps, rule, PUSHES)
    assert max(staleness) == bound
    assert int(tf.reduce_sum(ps.ledger.dropped)) == PUSHES - len(staleness) > 0
    assert ps.version == len(ps.updates) == len(staleness)
    assert int(tf.reduce_sum(ps.ledger.staleness)) == len(staleness)
    assert float(tf.reduce_sum(ps.ledger.waited_s)) == 4 + PUSHES  # a second for each decision


@pytest.mark.parametrize("backup_workers", [0, 1, 2])
def test_an_update_is_the_mean_of_one_gradient_each_of_one_version(backup_workers: int) -> None:
    rule = MeanOfEach(4 - backup_workers, 4, 60.0)
    ps = Ps(rule, 4)
    staleness = run(ps, rule, PUSHES)
    assert set(staleness) == {0}
    assert set(ps.updates) == {4 - backup_workers}
    assert int(tf.reduce_sum(ps.ledger.dropped)) == PUSHES - len(staleness)
    assert (len(staleness) < PUSHES) == bool(backup_workers)


def test_nobody_waits_for_a_worker_that_has_left() -> None:
    ps = Ps(MeanOfEach(3, 3, 60.0), 3)
    assert ps.join(0, 1, 2) == [0, 1, 2]
    assert ps.push(0, 0) == (True, [])
    assert ps.push(1, 0) == (True, [])
    assert ps.leave(2) == [0, 1]
    assert (ps.updates, ps.version) == ([2], 1)
    assert ps.push(2, 0) == (False, [2])  # it was only thought to be lost
    assert [ps.push(worker, 1)[1] for worker in (2, 1, 0)] == [[], [], [0, 1, 2]]
    assert ps.updates == [2, 3]


def test_a_worker_that_comes_back_does_not_count_twice() -> None:
    ps = Ps(MeanOfEach(2, 2, 60.0), 2)
    ps.join(0, 1)
    assert ps.push(0, 0) == (True, [])
    ps.leave(0)
    assert ps.join(0) == []  # it has pushed for this version
    assert ps.push(0, 0) == (False, [])
    assert ps.push(1, 0) == (True, [0, 1])
    assert ps.updates == [2]


def test_the_last_worker_that_leaves_has_what_waits_take_effect() -> None:
    ps = Ps(MeanOfEach(2, 2, 60.0), 2)
    ps.join(0, 1)
    ps.push(0, 0)
    ps.leave(0)
    assert ps.updates == []
    ps.leave(1)
    assert ps.updates == [1]


def test_nobody_waits_for_ever_for_a_worker_that_is_silent() -> None:
    ps = Ps(MeanOfEach(2, 2, 60.0), 2)
    ps.join(0, 1)

    def late(now_s: float) -> list[int]:
        return np.flatnonzero(ps.ledger.late(60.0, tf.constant(now_s, tf.float64))).tolist()

    assert late(1e6) == []  # before the first step nobody knows how long one takes
    ps.push(0, 0)
    assert float(ps.ledger.longest_s) == 1
    assert late(62) == []
    assert late(63) == [1]  # it started at 2
    ps.leave(1)
    assert ps.updates == [1]
    assert ps.push(1, 0) == (False, [1])  # its gradient comes too late, and it takes part again
    ps.push(0, 1)
    assert ps.push(1, 1) == (True, [0, 1])
    assert ps.updates == [1, 2]


def test_semi_synchronous_updates_wait_for_a_quorum_and_no_worker_does() -> None:
    rule = MeanOfAny(3)
    ps = Ps(rule, 4)
    staleness = run(ps, rule, PUSHES)
    assert len(staleness) == PUSHES
    assert ps.updates == [3] * (PUSHES // 3)
    assert float(tf.reduce_sum(ps.ledger.waited_s)) == 4 + PUSHES


def test_staleness_beyond_the_histogram_is_in_its_last_bin() -> None:
    rule = MeanOfAny(1)
    ps = Ps(rule, 1)
    ps.join(0)
    for _ in range(STALENESS_BINS + 5):
        ps.push(0, 0)
    counts = ps.ledger.staleness.numpy()[0]
    assert counts[:-1].tolist() == [1] * (STALENESS_BINS - 1)
    assert counts[-1] == 6


@pytest.mark.parametrize(("bound", "workers"), [(0, 2), (1, 4), (4, 1), (8, 4)])
def test_no_cache_lags_by_more_than_the_bound(bound: int, workers: int) -> None:
    rule = NotAhead(bound, 60.0)
    assert rule is not None
    ps = Ps(rule, workers)
    chance = random.Random(1)
    steps, pulls = [0] * workers, [0] * workers
    least_at_pull = [0] * workers
    started = ps.join(*range(workers))
    working: list[int] = []
    for _ in range(PUSHES):
        for worker in started:
            if int(ps.answers[worker]) != KEEP:
                assert int(ps.answers[worker]) == steps[worker] - min(steps) <= bound // 4
                pulls[worker] += 1
                least_at_pull[worker] = min(steps)
            assert steps[worker] - least_at_pull[worker] <= bound
            assert steps[worker] - min(steps) <= bound
        working += started
        assert working, "all workers wait"
        weights = [0.2 if worker == 0 else 1.0 for worker in working]
        worker = chance.choices(working, weights)[0]
        working.remove(worker)
        steps[worker] += 1
        _, started = ps.push(worker, steps[worker] - 1 - least_at_pull[worker])
    most = -(-max(steps) // (bound + 1 - bound // 4))
    assert all(count <= most + 1 for count in pulls)
    assert int(tf.reduce_max(tf.where(ps.ledger.staleness > 0)[:, 1])) <= bound


def test_a_worker_that_joins_again_pulls_before_its_first_step() -> None:
    rule = NotAhead(5, 60.0)
    assert rule is not None
    ps = Ps(rule, 2)
    ps.join(0, 1)
    ps.push(0, 0)
    assert int(ps.answers[0]) == KEEP
    ps.leave(0)
    assert ps.join(0) == [0]
    assert int(ps.answers[0]) == 0
