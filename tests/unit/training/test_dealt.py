"""Data that the chief reads and deals out to workers; no cluster: all of them are this process."""

from __future__ import annotations

import base64
import contextlib
import json
import queue
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfps.training import data, dealt
from tfps.training import lane as lanes
from tfps.training.data import as_source
from tfps.training.dealt import DealtFeed
from tfps.training.sources import ChiefSource

N = 40
DEADLINE_S = 20.0


class Thread:
    """Runs the tasks of one worker, one after the other."""

    def __init__(self, worker: int) -> None:
        self.worker = worker
        self._tasks: queue.SimpleQueue[Callable[[Thread], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        while (task := self._tasks.get()) is not None:
            task(self)

    def submit(self, task: Callable[[Thread], None] | None) -> None:
        self._tasks.put(task)

    def end(self) -> bool:
        self.submit(None)
        self._thread.join(DEADLINE_S)
        return not self._thread.is_alive()

    def run(self, call: Callable[[], Any], **others: Any) -> Any:
        return call()


class Team:
    """A thread for each worker."""

    def __init__(self, workers: int) -> None:
        self.threads = [Thread(worker) for worker in range(workers)]

    @contextlib.contextmanager
    def team(self) -> Iterator[Team]:
        yield self

    def submit(self, task: Callable[[Any], None]) -> None:
        for thread in self.threads:
            thread.submit(task)

    def ended(self) -> bool:
        return all([thread.end() for thread in self.threads])


Make = Callable[..., DealtFeed]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Make feeds whose chief and workers are this process, and close them."""
    feeds: list[tuple[DealtFeed, int]] = []
    connect = dealt.Lane.connect

    def connect_alone(lane: Any, area: str, graph: bytes, spec: Any) -> None:
        """Give each worker a staging area of its own: workers are processes otherwise."""
        own = f"tfps_{uuid.uuid4().hex}"
        connect(lane, own, graph.replace(area.encode(), own.encode()), spec)

    def made(source: Any, workers: int = 2, **arguments: Any) -> DealtFeed:
        if not isinstance(source, ChiefSource):
            source = as_source(source, **arguments)
        feeds.append((DealtFeed(source, workers), workers))
        return feeds[-1][0]

    for module in (dealt, lanes):
        monkeypatch.setattr(module, "CHIEF_DEVICE", "/device:CPU:0")
    monkeypatch.setattr(data, "is_lost", lambda handle: False)
    monkeypatch.setattr(dealt.Lane, "connect", connect_alone)
    yield made
    for feed, workers in feeds:
        team = Team(workers)
        feed.close(team)  # type: ignore[arg-type]
        assert team.ended()
        assert not any(lane.iterator for lane in feed._lanes)


def numbers(count: int = N) -> tf.data.Dataset:
    return tf.data.Dataset.range(count)


def next_of(iterator: Any) -> Any:
    """Return the next batch, which does not take long."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(next(iterator)), daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    assert found, "the batch did not arrive"
    return found[0]


def number_of(batch: Any) -> int:
    (part,) = tf.nest.flatten(batch)
    return int(tf.reshape(part, []))


def dispatch(feed: DealtFeed, worker: int, steps: int = 1) -> list[int]:
    """Have a worker read batches of one number, of which nobody knows yet that it did."""
    iterator, available = feed.iterator(worker, steps)
    assert available <= steps
    return [number_of(next_of(iterator)) for _ in range(available)]


def take(feed: DealtFeed, worker: int, steps: int = 1) -> list[int]:
    """Have a worker read and use batches of one number."""
    found = dispatch(feed, worker, steps)
    feed.count(worker, len(found), at_end=False)
    return found


def rest(feed: DealtFeed, worker: int, steps: int = 4) -> list[int]:
    """Have a worker read all that is left for it."""
    found: list[int] = []
    while batches := take(feed, worker, steps):
        found += batches
    return found


def test_one_worker_gets_all_in_order(make: Make) -> None:
    feed = make(numbers(), 1)
    assert (feed.num_batches, feed.element_spec) == (N, tf.TensorSpec([], tf.int64))
    for steps in (1, 7, 100):
        feed.start_epoch()
        assert rest(feed, 0, steps) == list(range(N))
        assert take(feed, 0) == []
    assert feed.reading.used == feed.reading.batches == 3 * N


def test_whoever_asks_gets_the_next_ones(make: Make) -> None:
    feed = make(numbers(), 3)
    assert take(feed, 2) == [2]  # the first one of each worker is its own
    assert take(feed, 2, 3) == [3, 4, 5]
    assert take(feed, 0, 2) == [0, 6]
    assert take(feed, 1, 2) == [1, 7]
    assert rest(feed, 1) == list(range(8, N))
    assert [take(feed, worker) for worker in range(3)] == [[], [], []]


def test_workers_in_step_have_batches_of_their_own(make: Make) -> None:
    feed = make(numbers(), 3)
    assert feed.start_run([0, 2], in_step=True, most_apart=None)
    assert take(feed, 2, 3) == [1, 3, 5]
    assert take(feed, 0, 3) == [0, 2, 4]
    assert rest(feed, 0) == list(range(6, N, 2))
    assert rest(feed, 2) == list(range(7, N, 2))


def test_count_returns_the_number_of_the_first_batch(make: Make) -> None:
    feed = make(numbers().map(lambda x: x * 10), 2)
    found = []
    for worker, steps in ((0, 1), (1, 3), (0, 2), (1, 1)):
        batches = dispatch(feed, worker, steps)
        found.append((batches, feed.count(worker, len(batches), at_end=False)))
    assert found == [([0], 0), ([10, 20, 30], 1), ([40, 50], 4), ([60], 6)]


@pytest.mark.parametrize("prefetches", [False, True])
@pytest.mark.parametrize("workers", [1, 3])
def test_workers_at_once_get_each_batch_once(make: Make, workers: int, prefetches: bool) -> None:
    feed = make(numbers(200).shuffle(50).map(lambda x: x + 1).batch(1), workers)
    for _ in range(2):
        feed.start_epoch()
        feed.start_run(range(workers), in_step=False, most_apart=None)
        found: list[int] = []
        team, others = Team(workers), Team(workers)

        def read(thread: Any, found: list[int] = found) -> None:
            while True:
                iterator, available = feed.iterator(thread.worker, 1 + thread.worker)
                found += [number_of(next_of(iterator)) for _ in range(available)]
                if not available:
                    return
                feed.count(thread.worker, available, at_end=False)

        if prefetches:
            with feed.prefetching(others):  # type: ignore[arg-type]
                team.submit(read)
                assert team.ended()
        else:
            team.submit(read)
            assert team.ended()
        assert others.ended()
        assert sorted(found) == list(range(1, 201))


def test_groups_are_sent_while_a_worker_computes(make: Make) -> None:
    feed = make(numbers(), 1)
    team, lane = Team(1), feed._lanes[0]
    is_ahead = threading.Event()
    put = lane.put

    def noted(groups: Any) -> None:
        put(groups)
        if len(lane.given) > 2:  # more than for the dispatch that runs
            is_ahead.set()

    lane.put = noted  # type: ignore[method-assign]
    with feed.prefetching(team):  # type: ignore[arg-type]
        found = dispatch(feed, 0, 2)
        assert is_ahead.wait(DEADLINE_S)
        feed.count(0, 2, at_end=False)
        found += rest(feed, 0, 2)
    assert team.ended()
    assert found == list(range(N))


def test_what_a_lost_worker_had_is_given_to_others(make: Make) -> None:
    feed = make(numbers(), 2)
    used = take(feed, 1, 3)
    dispatch(feed, 1, 4)  # nobody knows of it
    feed.give_back(1)
    assert feed.reading.seen_twice == 4
    assert used == [1, 2, 3]
    assert take(feed, 0, 3) == [0, 4, 5]
    assert sorted([*used, 0, 4, 5, *rest(feed, 0)]) == list(range(N))


def test_a_worker_that_is_back_goes_on(make: Make) -> None:
    feed = make(numbers(), 2)
    for epoch in range(3):
        feed.start_epoch()
        found = take(feed, 0, 2) + take(feed, 1, 2)
        dispatch(feed, 1, 5)
        feed.give_back(1)
        found += take(feed, 1, 2) + take(feed, 0, 2) + rest(feed, 1) + rest(feed, 0)
        assert sorted(found) == list(range(N)), f"epoch {epoch}"
    assert feed.reading.used == 3 * N


def test_a_worker_that_is_lost_before_it_asks_leaves_its_first_batch_to_others(make: Make) -> None:
    feed = make(numbers(5), 3)
    assert take(feed, 0) == [0]
    feed.give_back(1)
    assert sorted(rest(feed, 0) + rest(feed, 2)) == [1, 2, 3, 4]
    feed.start_epoch()  # it is still away
    assert sorted(rest(feed, 0) + rest(feed, 2)) == [0, 1, 2, 3, 4]


def test_there_is_more_after_the_end_if_a_worker_is_lost(make: Make) -> None:
    feed = make(numbers(6), 2)
    had = dispatch(feed, 1, 3)
    assert rest(feed, 0) == [0, 4, 5]
    assert take(feed, 0) == []
    feed.give_back(1)
    assert rest(feed, 0) == had == [1, 2, 3]
    assert take(feed, 1) == take(feed, 0) == []


def test_a_message_that_fails_loses_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = make(numbers(), 2)
    found = take(feed, 0, 3) + take(feed, 1, 3)
    with monkeypatch.context() as broken:
        error = tf.errors.UnavailableError(None, None, "worker 1 is gone")

        def fail(**arguments: Any) -> None:
            raise error

        broken.setattr(tf.raw_ops, "Stage", fail)
        with pytest.raises(tf.errors.UnavailableError):
            feed.iterator(1, 4)
    feed.give_back(1)
    assert feed.reading.seen_twice == 0
    found += rest(feed, 0) + rest(feed, 1)
    assert sorted(found) == list(range(N))


@pytest.mark.parametrize("size", [1, 200])
def test_messages_of_a_bounded_size(make: Make, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(dealt, "_MESSAGE_BYTES", size)
    feed = make(numbers(), 2)
    assert sorted(rest(feed, 0, 8) + rest(feed, 1, 8)) == list(range(N))


def test_an_epoch_that_was_stopped_early_leaves_nothing_behind(make: Make) -> None:
    feed = make(numbers(), 2)
    for steps in (1, 5):
        feed.start_epoch()
        found = take(feed, 0, steps) + take(feed, 1, steps)
        dispatch(feed, 1, steps)
        assert sorted(found) == list(range(2 * steps))
    feed.start_epoch()
    assert sorted(rest(feed, 0) + rest(feed, 1)) == list(range(N))


def test_an_error_comes_after_the_groups_before_it(make: Make) -> None:
    def check(x: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([tf.debugging.assert_less(x, np.int64(7), "too large")]):
            return tf.identity(x)

    feed = make(numbers().map(check).filter(lambda x: True), 2)
    assert sorted(take(feed, 0, 5) + rest(feed, 1)) == list(range(7))
    assert take(feed, 0) == []
    assert isinstance(feed.error, tf.errors.InvalidArgumentError)
    assert "The chief could not read the data" in str(feed.error)
    feed.start_epoch()
    assert feed.error is None
    assert take(feed, 0, 2) == [0, 2]


def test_an_error_of_python_code_stays_what_it_is(make: Make) -> None:
    source = as_source(np.arange(5), batch_size=1)
    assert isinstance(source, ChiefSource)

    class Broken:
        def __iter__(self) -> Iterator[np.ndarray]:
            yield from source.groups
            raise KeyError("no such file")

    feed = make(ChiefSource(Broken(), source.spec))
    assert sorted(rest(feed, 0) + rest(feed, 1)) == list(range(5))
    assert isinstance(feed.error, KeyError)


def test_dispatches_of_large_groups_are_short(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dealt, "_DISPATCH_BYTES", 10_000)
    feed = make(np.zeros((12, 250)), 1, batch_size=3)  # of 3 kB
    assert feed.limited(64) == 64  # no group has been seen
    iterator, _ = feed.iterator(0, 1)
    assert next_of(iterator).shape == [3, 250]
    assert feed.limited(64) == 3
    assert feed.limited(2) == 2
    monkeypatch.setattr(dealt, "_DISPATCH_BYTES", 10)
    assert feed.limited(64) == 1


def test_a_first_batch_is_not_used_up(make: Make) -> None:
    feed = make(numbers(5).map(lambda x: x * 1), 3)
    assert [number_of(feed.first_batch(worker)) for worker in (2, 0, 1, 0)] == [2, 0, 1, 0]
    assert sorted(rest(feed, 0) + rest(feed, 1) + rest(feed, 2)) == list(range(5))
    feed.start_epoch()
    assert sorted(rest(feed, 0) + rest(feed, 1) + rest(feed, 2)) == list(range(5))


def test_a_first_batch_of_a_generator_is_not_used_up(make: Make) -> None:
    feed = make(((np.full(1, number),) for number in range(N)), 1)
    assert number_of(feed.first_batch(0)) == 0
    feed.start_epoch()  # as fit does at its start
    assert rest(feed, 0) == list(range(N))


def test_no_data_at_all(make: Make) -> None:
    for x in (numbers(0), np.zeros(0)):
        feed = make(x)
        assert feed.num_batches == 0
        assert feed.first_batch(0) is None
        assert [feed.iterator(worker, 3)[1] for worker in range(2)] == [0, 0]


def test_endless_data_needs_a_number_of_steps(make: Make) -> None:
    feed = make(numbers(3).repeat())
    with pytest.raises(ValueError, match=r"The data never ends\. Say how many steps"):
        feed.check_finite()
    assert take(feed, 0, 5) == [0, 2, 0, 1, 2]
    source = as_source(numbers(3).repeat())
    limited = make(source.first(4))
    limited.check_finite()
    assert sorted(rest(limited, 0) + rest(limited, 1)) == [0, 0, 1, 2]


def test_workers_make_the_batches(make: Make) -> None:
    ragged = tf.ragged.constant([[1], [2, 3], [], [4], [5], [6, 7]])
    rows = tf.data.Dataset.from_tensor_slices({"a": np.arange(6.0), "b": ragged})
    batched = rows.map(lambda d: (d["a"] * 2, d["b"])).shuffle(6, seed=1).ragged_batch(4)
    source = as_source(batched).map(lambda a, b: (a, b, tf.reduce_sum(b, 1)))
    feed = make(source, 1)
    expected = batched.map(lambda a, b: (a, b, tf.reduce_sum(b, 1)))
    assert feed.element_spec == expected.element_spec
    iterator, available = feed.iterator(0, 5)
    assert available == 2
    for batch in expected:
        found = next_of(iterator)
        assert [x.numpy().tolist() for x in tf.nest.flatten(found, expand_composites=True)] == [
            x.numpy().tolist() for x in tf.nest.flatten(batch, expand_composites=True)
        ]


def test_a_worker_waits_for_the_step_that_is_too_far_behind(make: Make) -> None:
    feed = make(numbers(), 2)
    feed.start_run([0, 1], in_step=False, most_apart=4)
    assert dispatch(feed, 1) == [1]
    found: list[int] = []
    reader = threading.Thread(target=lambda: found.extend(rest(feed, 0, 1)), daemon=True)
    reader.start()
    reader.join(0.5)
    assert reader.is_alive()
    assert found == []
    feed.count(1, 1, at_end=False)
    reader.join(DEADLINE_S)
    assert sorted(found) == [n for n in range(N) if n != 1]


def test_a_worker_does_not_wait_for_a_lost_one(make: Make) -> None:
    feed = make(numbers(), 2)
    feed.start_run([0, 1], in_step=False, most_apart=4)
    dispatch(feed, 1)
    found: list[int] = []
    reader = threading.Thread(target=lambda: found.extend(rest(feed, 0, 1)), daemon=True)
    reader.start()
    feed.give_back(1)
    reader.join(DEADLINE_S)
    assert sorted(found) == list(range(N))


@pytest.mark.parametrize("kind", ["arrays", "dataset", "dataset without its state"])
def test_an_epoch_goes_on_where_it_was(make: Make, tmp_path: Path, kind: str) -> None:
    def feed() -> DealtFeed:
        if kind == "arrays":
            return make(np.arange(N), 2, batch_size=1, shuffle=True)
        return make(numbers().shuffle(N, seed=3).map(lambda x: x).batch(1), 2)

    whole = feed()
    found = take(whole, 0, 3) + take(whole, 1, 2)
    dispatch(whole, 1, 4)
    path, written = str(tmp_path / "state"), []

    def write(iterator: Any) -> None:
        written.append(tf.train.Checkpoint(iterator=iterator).write(path))

    def restore(iterator: Any) -> None:
        tf.train.Checkpoint(iterator=iterator).read(path)

    position = whole.position(write)
    assert bool(written) == (kind != "arrays")
    assert position["used"] == len(found)
    text = json.dumps(position, default=lambda b: base64.b64encode(b).decode())
    resumed = feed()
    resumed.go_to(json.loads(text), restore if kind == "dataset" else None)
    found += take(resumed, 1, 2) + rest(resumed, 0) + rest(resumed, 1)
    assert sorted(found) == list(range(N))


def test_an_epoch_goes_on_after_its_end(make: Make) -> None:
    whole = make(numbers(5), 2)
    assert len(take(whole, 0, 5)) == 4
    position = whole.position(lambda _: None)
    resumed = make(numbers(5), 2)
    text = json.dumps(position, default=lambda b: base64.b64encode(b).decode())
    resumed.go_to(json.loads(text), None)
    assert rest(resumed, 0) == [1]
    resumed.start_epoch()
    assert sorted(rest(resumed, 0) + rest(resumed, 1)) == list(range(5))
