"""The shares of a data function, and which worker reads them; no cluster: all in this process."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import pytest
import tensorflow as tf

import tfps
from tfps.training.data import as_source
from tfps.training.shares import ShareFeed
from tfps.training.sources import FunctionSource

N = 24
Function = Callable[[tf.distribute.InputContext], tf.data.Dataset]


@pytest.fixture(autouse=True)
def device() -> Iterator[None]:
    """Have the workers be this process."""
    with tf.device("/device:CPU:0"):
        yield


def shuffled(context: tf.distribute.InputContext) -> tf.data.Dataset:
    """Return a share of numbers, all shares of which are shuffled as one."""
    numbers = tf.data.Dataset.range(N).shuffle(N, seed=7)
    return numbers.shard(context.num_input_pipelines, context.input_pipeline_id).batch(2)


def sized(sizes: list[int], *, known: bool = True) -> Function:
    """Return a function whose share i has `sizes[i]` batches: 100 * i, 100 * i + 1, and so on."""

    def function(context: tf.distribute.InputContext) -> tf.data.Dataset:
        share = context.input_pipeline_id
        numbers = tf.data.Dataset.range(100 * share, 100 * share + sizes[share])
        return (numbers if known else numbers.filter(lambda x: True)).batch(1)

    return function


def make(function: Function, workers: int = 2, *, first: int | None = None) -> ShareFeed:
    source = as_source(function)
    assert isinstance(source, FunctionSource)
    feed = ShareFeed(source if first is None else source.first(first), workers)
    for worker in range(workers):
        feed.build(worker)
    feed.unify_types()
    return feed


def take(feed: ShareFeed, worker: int, batches: int | None = None) -> list[int]:
    """Have a worker read so many batches, one in each dispatch; None is all that it gets."""
    found: list[int] = []
    while batches is None or batches > 0:
        iterator, available = feed.iterator(worker, 1)
        if not available:
            return found
        batch = iterator.get_next_as_optional()
        feed.count(worker, int(batch.has_value()), at_end=not batch.has_value())
        if batch.has_value():
            found += batch.get_value().numpy().tolist()
            batches = None if batches is None else batches - 1
    return found


def in_turn(feed: ShareFeed, workers: int) -> list[list[int]]:
    """Have workers read a batch each in turn; return what each has read."""
    found: list[list[int]] = [[] for _ in range(workers)]
    going_on = set(range(workers))
    while going_on:
        for worker in sorted(going_on):
            batch = take(feed, worker, 1)
            found[worker] += batch
            going_on -= set() if batch else {worker}
    return found


def test_data_functions_are_called_one_at_a_time() -> None:
    # What they share, as a Keras layer that builds itself, need not be safe for threads.
    free = threading.Lock()

    def function(context: tf.distribute.InputContext) -> tf.data.Dataset:
        assert free.acquire(blocking=False)
        time.sleep(0.05)
        free.release()
        return tf.data.Dataset.range(2).batch(1)

    source = as_source(function)
    assert isinstance(source, FunctionSource)
    feed = ShareFeed(source, 4)
    with futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(feed.build, range(4)))


def test_each_worker_reads_its_own_share() -> None:
    feed = make(sized([3, 2]))
    assert (feed.num_batches, feed.element_spec) == (5, tf.TensorSpec([None], tf.int64))
    for _ in range(2):
        feed.start_epoch()
        assert (take(feed, 1), take(feed, 0)) == ([100, 101], [0, 1, 2])
        assert (take(feed, 1), take(feed, 0)) == ([], [])
        assert not feed.may_leave_some


def test_batches_have_their_number_in_the_order_of_the_data() -> None:
    feed = make(sized([4, 4]))
    numbers = []
    for worker in (0, 0, 1, 0):
        feed.iterator(worker, 1)
        numbers.append(feed.count(worker, 1, at_end=False))
    assert numbers == [0, 2, 1, 4]
    assert feed.reading.used == 4


def test_a_lost_worker_s_share_is_read_by_another_from_where_it_was_counted() -> None:
    feed = make(shuffled)
    for epoch in range(4):
        feed.start_epoch()
        found = take(feed, 0, 3)
        if epoch == 2:
            found += take(feed, 1, 2)
            feed.iterator(1, 3)  # a dispatch of which nothing is known
            feed.give_back(1)
            assert feed.reading.seen_twice == 3
            found += take(feed, 0)
            assert take(feed, 1) == []  # it is back, and nothing is left
        found += take(feed, 0) + take(feed, 1)
        assert sorted(found) == list(range(N)), f"epoch {epoch}"
    assert feed.reading.seen_twice == 3


def test_a_lost_worker_s_share_waits_for_it_if_no_other_asks() -> None:
    feed = make(shuffled)
    feed.start_epoch()
    found = take(feed, 1, 4)
    feed.give_back(1)
    found += take(feed, 1) + take(feed, 0)
    assert sorted(found) == list(range(N))
    assert feed.reading.seen_twice == 0


def test_a_worker_that_is_lost_before_it_reads_leaves_its_share_to_others() -> None:
    feed = make(sized([2, 2]))
    feed.give_back(1)
    assert take(feed, 0) == [0, 1, 100, 101]
    feed.start_epoch()  # the next epoch begins while it is away
    assert take(feed, 0) == [0, 1]
    feed.give_back(1)
    assert take(feed, 0) == [100, 101]


def test_endless_data_of_a_lost_worker_starts_again() -> None:
    def endless(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return sized([3, 3])(context).repeat()

    feed = make(endless)
    with pytest.raises(ValueError, match="never ends"):
        feed.check_finite()
    assert take(feed, 1, 2) == [100, 101]
    feed.give_back(1)
    assert take(feed, 1, 4) == [100, 101, 102, 100]


def test_more_shares_than_workers_are_each_read_once_by_one_worker() -> None:
    sizes = [2, 1, 4, 0, 3, 1, 2]
    feed = make(tfps.Data(sized(sizes), 7))
    for epoch in range(2):
        feed.start_epoch()
        per_worker = in_turn(feed, 2)
        expected = [100 * share + i for share, size in enumerate(sizes) for i in range(size)]
        assert sorted(itertools.chain(*per_worker)) == expected, f"epoch {epoch}"
        shares = [{value // 100 for value in values} for values in per_worker]
        assert not shares[0] & shares[1]
        assert min(map(len, shares)) > 1
        for values in per_worker:
            assert all(b == a + 1 for a, b in itertools.pairwise(values) if b % 100)


def test_shares_of_a_lost_worker_that_it_had_not_begun_are_read() -> None:
    feed = make(tfps.Data(shuffled, 6))
    for epoch in range(3):
        feed.start_epoch()
        found = take(feed, 1, 3)
        if epoch == 1:
            feed.give_back(1)
        found += take(feed, 0, 5) + take(feed, 1) + take(feed, 0)
        assert sorted(found) == list(range(N)), f"epoch {epoch}"


def test_more_shares_than_workers_must_end() -> None:
    with pytest.raises(ValueError, match="Share 0 of 3 never ends"):
        make(tfps.Data(lambda context: tf.data.Dataset.range(2).repeat(), 3))


def test_fewer_shares_than_workers_leave_workers_without() -> None:
    feed = make(tfps.Data(sized([3]), 1), workers=3)
    for worker in range(3):
        assert take(feed, worker) == ([0, 1, 2] if worker == 0 else [])


@pytest.mark.parametrize("sizes", [[5, 2, 4], [0, 3, 1], [1, 1, 1], [10, 0, 0]])
@pytest.mark.parametrize("first", [1, 2, 4, 7, 9, 50])
def test_the_first_batches_are_those_of_the_shares_in_turn(sizes: list[int], first: int) -> None:
    rounds = [
        100 * share + number
        for number in range(max(sizes))
        for share, size in enumerate(sizes)
        if number < size
    ]
    feed = make(sized(sizes), workers=3, first=first)
    assert feed.num_batches == len(rounds[:first])
    assert not feed.may_leave_some
    for _ in range(2):
        feed.start_epoch()
        assert sorted(itertools.chain(*in_turn(feed, 3))) == sorted(rounds[:first])


def test_the_first_batches_of_a_lost_worker_are_read_by_another() -> None:
    feed = make(sized([5, 5]), first=7)
    found = take(feed, 1, 2)
    feed.give_back(1)
    assert sorted(found + take(feed, 0)) == [0, 1, 2, 3, 100, 101, 102]


def test_of_endless_data_the_first_batches_end() -> None:
    feed = make(lambda context: sized([2, 2])(context).repeat(), first=5)
    feed.check_finite()
    assert feed.num_batches == 5
    assert [take(feed, worker) for worker in range(2)] == [[0, 1, 0], [100, 101]]


def test_the_first_batches_of_data_of_unknown_size_may_be_fewer() -> None:
    feed = make(sized([6, 1], known=False), first=4)
    assert feed.may_leave_some
    assert sorted(itertools.chain(*in_turn(feed, 2))) == [0, 1, 100]
    assert not make(sized([6, 1], known=False)).may_leave_some
    assert make(sized([6, 1], known=False)).num_batches is None


def test_a_first_batch_is_not_used_up() -> None:
    feed = make(shuffled)
    batches = [feed.first_batch(worker) for worker in range(2)]
    assert [batch.shape for batch in batches] == [[2], [2]]
    for _ in range(2):
        feed.start_epoch()
        found = take(feed, 1, 2)
        feed.give_back(1)
        assert sorted(found + take(feed, 0) + take(feed, 1)) == list(range(N))
    assert make(sized([0, 1])).first_batch(0) is None


def test_an_epoch_goes_on_where_it_was() -> None:
    whole = make(tfps.Data(shuffled, 3))
    whole.start_epoch()
    take(whole, 0)
    whole.start_epoch()
    before = take(whole, 0, 5) + take(whole, 1, 2)
    position = whole.position(pytest.fail)  # it has no iterator to save
    assert position["used"] == len(before) // 2

    resumed = make(tfps.Data(shuffled, 3))
    resumed.go_to(json.loads(json.dumps(position)), None)
    assert sorted([*before, *itertools.chain(*in_turn(resumed, 2))]) == list(range(N))
    whole.start_epoch()
    resumed.start_epoch()
    assert take(resumed, 0) == take(whole, 0)  # in the same order


def of_type(dtypes: list[Any], *, shapes: list[list[int]] | None = None) -> Function:
    def function(context: tf.distribute.InputContext) -> tf.data.Dataset:
        share = context.input_pipeline_id
        shape = [4] if shapes is None else shapes[share]
        return tf.data.Dataset.from_tensors(tf.zeros(shape, dtypes[share])).batch(2)

    return function


@pytest.mark.parametrize(
    "function",
    [
        of_type([tf.float32, tf.int32]),
        of_type([tf.float32, tf.float32], shapes=[[4], [4, 1]]),
        lambda context: tf.data.Dataset.from_tensors((1, 2)[: context.input_pipeline_id + 1]),
        lambda context: tf.data.Dataset.from_tensors(
            ((1, 2), {"a": 1, "b": 2})[context.input_pipeline_id]
        ),
    ],
    ids=["dtype", "rank", "number of parts", "structure"],
)
def test_workers_whose_batches_differ_in_type_are_refused(function: Function) -> None:
    with pytest.raises(ValueError, match=r"batches of different types: worker 0:.*worker 1:"):
        make(function)


def test_a_later_share_of_another_type_is_refused() -> None:
    feed = make(tfps.Data(of_type([tf.float32, tf.float32, tf.int32]), 3))
    take(feed, 0, 1)
    with pytest.raises(ValueError, match="Share 2 of the data gives batches of type"):
        take(feed, 0)


def test_batches_of_several_shapes_get_one_type() -> None:
    feed = make(of_type([tf.float32, tf.float32], shapes=[[4], [3]]))
    assert feed.element_spec == tf.TensorSpec([None, None], tf.float32)
    for worker, length in enumerate((4, 3)):
        iterator, _ = feed.iterator(worker, 1)
        assert iterator.element_spec == feed.element_spec
        assert next(iterator).shape == [1, length]
