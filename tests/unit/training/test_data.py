"""Each form of data, dealt out to some workers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfps.training import sources
from tfps.training.data import as_source
from tfps.training.sources import FirstBatches, Source

N = 23


def batches(source: Source, workers: int) -> list[list[Any]]:
    """Return the batches of each worker."""
    found = []
    for worker in range(workers):
        context = tf.distribute.InputContext(workers, worker)
        found.append(list(source.on_worker(context).as_numpy_iterator()))
    return found


def examples(per_worker: list[list[Any]]) -> list[int]:
    return sorted(int(value) for own in per_worker for batch in own for value in batch.flatten())


def in_order(per_worker: list[list[Any]]) -> list[Any]:
    """Undo the dealing out: batch b of the whole is batch b // W of worker b % W."""
    width = len(per_worker)
    total = sum(map(len, per_worker))
    return [per_worker[b % width][b // width] for b in range(total)]


def arrays(batch_size: int, shuffle: bool = False) -> Source:
    return as_source(np.arange(N), batch_size=batch_size, shuffle=shuffle)


def dataset(batch_size: int) -> tf.data.Dataset:
    return tf.data.Dataset.range(N).batch(batch_size)


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
@pytest.mark.parametrize("batch_size", [1, 5, 23, 40])
@pytest.mark.parametrize(
    "make",
    [
        arrays,
        lambda size: arrays(size, shuffle=True),
        lambda size: as_source(dataset(size), batch_size=None, shuffle=False),
        lambda size: as_source(
            lambda c: dataset(size).shard(c.num_input_pipelines, c.input_pipeline_id),
            batch_size=None,
            shuffle=False,
        ),
    ],
    ids=["arrays", "shuffled arrays", "dataset", "function"],
)
def test_each_example_goes_to_one_worker(
    make: Callable[[int], Source], batch_size: int, workers: int
) -> None:
    source = make(batch_size)
    per_worker = batches(source, workers)
    assert examples(per_worker) == list(range(N))
    assert sum(map(len, per_worker)) == math.ceil(N / batch_size)
    assert source.num_batches in (None, math.ceil(N / batch_size))


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("kind", ["arrays", "dataset"])
def test_the_order_can_be_restored(kind: str, workers: int) -> None:
    source = arrays(4) if kind == "arrays" else as_source(dataset(4), batch_size=None, shuffle=True)
    assert np.concatenate(in_order(batches(source, workers))).tolist() == list(range(N))


def test_the_first_batches_are_those_of_one_machine() -> None:
    endless = as_source(dataset(4).repeat(), batch_size=None, shuffle=False)
    for steps in (1, 3, 7):
        source = FirstBatches(endless, steps)
        expected = [batch.tolist() for batch in dataset(4).repeat().take(steps).as_numpy_iterator()]
        for workers in (1, 2, 4):
            assert [b.tolist() for b in in_order(batches(source, workers))] == expected
    assert FirstBatches(arrays(5), 3).num_batches == 3
    assert FirstBatches(arrays(5), 9).num_batches == 5


@pytest.mark.parametrize(
    "pipeline",
    [
        lambda d: d.shuffle(100).batch(2),
        lambda d: d.shuffle(100, reshuffle_each_iteration=False).batch(2),
        lambda d: d.shuffle(100).repeat(1).map(lambda x: x).batch(2).prefetch(1),
        lambda d: d.shuffle(100).shuffle(50).batch(2),
        lambda d: (
            d.batch(10)
            .interleave(lambda x: tf.data.Dataset.from_tensor_slices(x).shuffle(10), cycle_length=2)
            .batch(2)
        ),
        lambda d: tf.data.Dataset.sample_from_datasets([d.take(12), d.skip(12)]).batch(2),
        lambda d: (
            tf.data.Dataset.zip(d.map(lambda x: tf.random.uniform([])), d)
            .batch(N)
            .map(lambda keys, x: tf.gather(x, tf.argsort(keys)))
            .unbatch()
            .batch(2)
        ),
    ],
)
def test_what_is_random_without_a_seed_is_alike_on_all_workers(
    pipeline: Callable[[tf.data.Dataset], tf.data.Dataset],
) -> None:
    original = pipeline(tf.data.Dataset.range(N))  # lives on: its generators could be found
    source = as_source(original, batch_size=None, shuffle=False)
    contexts = [tf.distribute.InputContext(3, worker) for worker in range(3)]
    shares = [source.on_worker(context) for context in contexts]
    orders = []
    for _ in range(2):  # epochs
        per_worker = [list(share.as_numpy_iterator()) for share in shares]
        assert examples(per_worker) == list(range(N))
        orders.append(np.concatenate(in_order(per_worker)).tolist())
    assert orders[0] != list(range(N))
    assert original.element_spec.shape.rank == 1


def test_a_seed_that_was_given_is_kept() -> None:
    shuffled = tf.data.Dataset.range(N).shuffle(100, seed=3, reshuffle_each_iteration=False)
    source = as_source(shuffled.batch(4), batch_size=None, shuffle=False)
    expected = list(shuffled.as_numpy_iterator())
    assert np.concatenate(in_order(batches(source, 2))).tolist() == expected


def test_structures_of_arrays_stay_together() -> None:
    x = {"a": np.arange(N), "b": [np.arange(N) * 2, np.arange(N) * 3]}
    source = as_source(x, np.arange(N) * 4, np.ones(N), batch_size=6, shuffle=True)
    for own in batches(source, 2):
        for features, y, weight in own:
            np.testing.assert_array_equal(features["b"][0], features["a"] * 2)
            np.testing.assert_array_equal(features["b"][1], features["a"] * 3)
            np.testing.assert_array_equal(y, features["a"] * 4)
            assert weight.shape == y.shape


def test_a_preprocessor_maps_lists_of_strings_as_one_array() -> None:
    source = as_source(
        ["a b", "c", "d e f"],
        [0, 1, 0],
        batch_size=2,
        shuffle=False,
        preprocess=lambda x, y: (tf.strings.length(x), y),
    )
    (own,) = batches(source, 1)
    assert [(x.tolist(), y.tolist()) for x, y in own] == [([3, 1], [0, 1]), ([5], [0])]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": object()}, TypeError, "type object cannot be read. Give a function"),
        ({"x": None}, TypeError, "type NoneType cannot be read. Give a function"),
        ({"x": np.zeros((0, 2))}, ValueError, r"hold \[0\] examples"),
        ({"x": np.zeros(3), "y": np.zeros(4)}, ValueError, r"hold \[3, 4\] examples"),
        ({"x": dataset(2), "y": np.zeros(3)}, ValueError, "leave out the argument y"),
        ({"x": dataset(2), "batch_size": 3}, ValueError, "leave out the argument batch_size"),
        ({"x": lambda c: c, "sample_weight": [1.0]}, ValueError, "leave out.*sample_weight"),
    ],
)
def test_data_that_cannot_be_read_is_refused(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        as_source(**{"batch_size": None, "shuffle": False, **arguments})


def test_a_function_that_returns_no_dataset_is_named() -> None:
    source = as_source(lambda context: [1, 2], batch_size=None, shuffle=False)
    with pytest.raises(TypeError, match="returned list for worker 1"):
        source.on_worker(tf.distribute.InputContext(2, 1))


def test_a_share_too_large_to_send_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_MAX_MESSAGE_BYTES", 100)
    source = as_source(np.zeros((40, 1)), batch_size=1, shuffle=False)
    source.on_worker(tf.distribute.InputContext(4, 0))  # 80 bytes
    with pytest.raises(ValueError, match=r"worker 0's share.*Give a function"):
        source.on_worker(tf.distribute.InputContext(2, 0))
    with pytest.raises(ValueError, match=r"the tf.data.Dataset.*Give a function"):
        as_source(dataset(2), batch_size=None, shuffle=False)
