"""What the chief reads of a tf.data pipeline and what workers make of it, as the pipeline itself.

The two parts run one after the other in this process.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfps.training.split import Split, split

Dataset = tf.data.Dataset
Pair = collections.namedtuple("Pair", ["a", "b"])
A = np.arange(50, dtype=np.float32)
RAGGED = [[1, 2], [3], [], [4, 5, 6]]


def numbers(count: int = 9) -> tf.data.Dataset:
    return Dataset.range(count)


def doubled(count: int = 9) -> tf.data.Dataset:
    return numbers(count).map(lambda x: x * 2)


def rows(ragged: list[Any]) -> tf.data.Dataset:
    return Dataset.from_tensor_slices(tf.ragged.constant(ragged))


def of_generator(shape: list[int | None] | None) -> tf.data.Dataset:
    spec = tf.TensorSpec(shape, tf.float32)
    arrays = [np.ones((1, 2)), np.ones((3, 2)), np.ones((2, 4))]
    return Dataset.from_generator(lambda: iter(arrays), output_signature=spec)


ON_WORKERS: dict[str, Callable[[], tf.data.Dataset]] = {
    "map, batch": lambda: doubled().batch(3),
    "map alone": lambda: Dataset.from_tensors(np.arange(5)).map(lambda x: x * 2),
    "batch, map": lambda: numbers().batch(4).map(lambda x: x * 2),
    "maps around a shuffle and a batch": lambda: (
        Dataset.from_tensor_slices((A, A))
        .map(lambda x, y: (x + 1, {"k": y}))
        .shuffle(10, seed=3)
        .batch(4, drop_remainder=True)
        .map(lambda x, y: (x, y["k"]))
        .prefetch(2)
    ),
    "shuffle by the global seed": lambda: doubled().shuffle(9).repeat(2).batch(2),
    "the same order in each epoch": lambda: (
        doubled().shuffle(9, seed=1, reshuffle_each_iteration=False).batch(2)
    ),
    "take, repeat, skip": lambda: doubled(20).take(7).repeat(2).batch(3).skip(1).take(3),
    "shard, repeat": lambda: doubled().shard(2, 1).batch(2).repeat(2),
    "filter first": lambda: numbers(20).filter(lambda x: x > 5).map(lambda x: x * 2).batch(3),
    "nested": lambda: (
        numbers(20).map(lambda x: {"a": x, "b": (x, x)}).map(lambda d: (d["a"], d["b"][1])).batch(4)
    ),
    "tuples of one": lambda: (
        Dataset.from_tensor_slices((A,)).map(lambda x: (x * 2,)).batch(4).map(lambda x: (x,))
    ),
    "dictionaries": lambda: (
        Dataset.from_tensor_slices({"a": A, "b": A})
        .map(lambda d: {"b": d["a"], "a": d["b"] + 1})
        .batch(7)
        .map(lambda d: (d["a"], d["b"]))
    ),
    "named tuples": lambda: (
        Dataset.from_tensor_slices(Pair(A, A)).map(lambda pair: pair.a + pair.b).batch(4)
    ),
    "batches of named tuples": lambda: (
        numbers().map(lambda x: Pair(x, x)).batch(4).map(lambda pair: pair.a)
    ),
    "batches of batches": lambda: (
        numbers().batch(2, drop_remainder=True).map(lambda x: x * 2).batch(2)
    ),
    "sparse": lambda: (
        Dataset.from_tensor_slices(tf.sparse.from_dense(np.eye(5, dtype=np.float32)))
        .map(lambda s: s * 2.0)
        .batch(2)
        .map(tf.sparse.to_dense)
    ),
    "ragged_batch, map": lambda: rows(RAGGED).ragged_batch(3).map(lambda x: x * 2),
    "map, ragged_batch": lambda: rows(RAGGED).map(lambda x: x * 2).ragged_batch(3),
    "ragged rows": lambda: rows([[[1, 2], [3]], [[3]], []]).map(lambda x: x * 2).batch(2),
    "rows of several lengths": lambda: (
        numbers().map(lambda x: tf.fill([x], x)).shuffle(4, seed=2).ragged_batch(3)
    ),
    "padded_batch": lambda: (
        numbers()
        .map(lambda x: tf.fill([x], x))
        .padded_batch(4, padding_values=tf.constant(-1, tf.int64))
    ),
    "padded_batch of what varies": lambda: (
        numbers()
        .flat_map(lambda x: Dataset.from_tensors(tf.fill([x], x)))
        .map(lambda x: x * 2)
        .shuffle(4, seed=1)
        .padded_batch(4, padded_shapes=[12])
    ),
    "unknown size": lambda: of_generator([None, None]).map(tf.reduce_sum).batch(2),
    "unknown rank": lambda: of_generator(None).map(tf.reduce_sum).batch(2),
    "zip": lambda: (
        Dataset.zip((doubled(), {"a": numbers(20).map(lambda x: x * 3)}))
        .shuffle(5, seed=2)
        .batch(2)
    ),
    "zip of shuffles": lambda: (
        Dataset.zip(doubled().shuffle(9, seed=1), numbers().shuffle(5, seed=3))
        .map(lambda x, y: x + y)
        .batch(2)
    ),
    "enumerate": lambda: doubled().enumerate().batch(3),
    "in parallel": lambda: (
        numbers(40)
        .map(lambda x: x * 2, num_parallel_calls=4)
        .batch(4, num_parallel_calls=2, deterministic=True)
        .with_options(tf.data.Options())
    ),
    "None": lambda: numbers().map(lambda x: (x, None)).batch(4),
    "tf.compat.v1": lambda: (
        tf.compat.v1.data.Dataset.range(9).map(lambda x: x + 1).shuffle(5, seed=2).batch(2)
    ),
    "strings": lambda: Dataset.from_tensor_slices(["a", "bc"]).map(tf.strings.length).batch(2),
}
"""Pipelines all of whose maps run on the workers."""


def with_variable() -> tf.data.Dataset:
    factor = tf.Variable(2, dtype=tf.int64)
    return numbers().map(lambda x: x * factor).batch(3)


def with_python() -> tf.data.Dataset:
    def twice(x: tf.Tensor) -> Any:
        return tf.py_function(lambda t: t * 2, [x], tf.int64)

    return numbers().map(twice).batch(3).map(lambda x: tf.ensure_shape(x, [None]) + 1)


PARTLY: dict[str, tuple[Callable[[], tf.data.Dataset], str]] = {
    "filter": (
        lambda: doubled(20).filter(lambda x: x > 5).map(lambda x: x * 2).batch(3),
        "filter",
    ),
    "cache": (
        lambda: doubled().cache().shuffle(9, seed=1).map(lambda x: x + 1).batch(3),
        "cache",
    ),
    "concatenate": (
        lambda: doubled().concatenate(numbers(3)).map(lambda x: x + 1).batch(3),
        "concatenate",
    ),
    "unbatch": (lambda: doubled().batch(4).unbatch().map(lambda x: x + 1).batch(3), "unbatch"),
    "batch": (
        lambda: (
            doubled().batch(2).map(lambda x: x + 1).batch(2, drop_remainder=True).map(tf.negative)
        ),
        "batch",
    ),
    "Python": (
        lambda: doubled().apply(lambda d: d.concatenate(with_python().unbatch())).map(tf.negative),
        "concatenate",
    ),
}
"""Pipelines of which the workers run the last maps, with what holds back the others."""

ON_CHIEF: dict[str, tuple[Callable[[], tf.data.Dataset], str | None]] = {
    "no map": (lambda: numbers().shuffle(9, seed=1).batch(2), None),
    "window": (
        lambda: doubled().window(3).flat_map(lambda window: window.batch(3)),
        "window",
    ),
    "zip of batches": (
        lambda: Dataset.zip(doubled().batch(2), numbers(20).batch(2).map(lambda x: x * 3)),
        "zip",
    ),
    "batch of what a filter holds back": (
        lambda: doubled().filter(lambda x: x > 5).padded_batch(3),
        "filter",
    ),
}
"""Pipelines whose maps run on the chief, with what holds them back."""


def joined(parts: Split) -> tf.data.Dataset:
    """Return what the workers make of the groups."""
    if parts.make_batch is None:
        return parts.groups
    make_batch = parts.make_batch
    unpacks = type(parts.groups.element_spec) is tuple  # a map then has several arguments
    batches = parts.groups.map(lambda *group: make_batch(group if unpacks else group[0]))
    options = tf.data.Options()
    options.experimental_optimization.map_and_batch_fusion = False
    return batches.with_options(options)


def values(dataset: tf.data.Dataset) -> list[Any]:
    """Return the tensors of each element, which make up ragged and sparse ones, too."""
    return [
        [None if leaf is None else leaf.numpy().tolist() for leaf in leaves]
        for leaves in (tf.nest.flatten(element, expand_composites=True) for element in dataset)
    ]


def check(make: Callable[[], tf.data.Dataset]) -> Split:
    """Assert that the parts of a pipeline give what it gives, in two epochs."""
    tf.random.set_seed(1)
    plain = make()
    tf.random.set_seed(1)
    parts = split(make())
    whole = joined(parts)
    assert whole.element_spec == plain.element_spec
    for _ in range(2):
        expected = values(plain)
        assert expected
        assert values(whole) == expected
    return parts


@pytest.mark.parametrize("name", ON_WORKERS)
def test_workers_run_all_maps(name: str) -> None:
    parts = check(ON_WORKERS[name])
    assert parts.make_batch is not None
    assert parts.held_back is None


@pytest.mark.parametrize("name", PARTLY)
def test_workers_run_the_maps_after_what_holds_others_back(name: str) -> None:
    make, held_back = PARTLY[name]
    parts = check(make)
    assert parts.make_batch is not None
    assert parts.held_back == held_back


@pytest.mark.parametrize("name", ON_CHIEF)
def test_the_chief_runs_all(name: str) -> None:
    make, held_back = ON_CHIEF[name]
    parts = check(make)
    assert parts.make_batch is None
    assert parts.held_back == held_back


def test_variables_and_python_functions_stay_on_the_chief() -> None:
    assert check(with_variable).make_batch is None
    parts = check(with_python)
    assert parts.make_batch is not None  # the last map
    assert [int(x) for x in next(iter(parts.groups))] == [0, 2, 4]


@pytest.mark.parametrize("fixed_length", [True, False])
def test_records_of_files(tmp_path: Path, fixed_length: bool) -> None:
    files = [str(tmp_path / f"{i}.tfrecord") for i in range(4)]
    for i, file in enumerate(files):
        with tf.io.TFRecordWriter(file) as writer:
            for record in range(11):
                row = tf.fill([1 + record % 3], float(20 * i + record))
                writer.write(tf.io.serialize_tensor(row).numpy())

    def parse(record: tf.Tensor) -> tf.Tensor:
        row = tf.ensure_shape(tf.io.parse_tensor(record, tf.float32), [None])
        return row[:1] if fixed_length else row

    def make() -> tf.data.Dataset:
        records = Dataset.from_tensor_slices(files).interleave(
            tf.data.TFRecordDataset, cycle_length=2
        )
        parsed = records.map(parse).shuffle(10, seed=1)
        return parsed.batch(7) if fixed_length else parsed.padded_batch(7)

    parts = check(make)
    assert parts.make_batch is not None
    assert parts.groups.element_spec == tf.TensorSpec([None], tf.string)


def test_a_shuffle_without_a_seed_draws_another_order_in_each_epoch() -> None:
    shuffled = joined(split(doubled(50).shuffle(50).batch(5)))
    epochs = [np.concatenate(list(shuffled.as_numpy_iterator())).tolist() for _ in range(2)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(0, 100, 2))] * 2
    assert epochs[0] != epochs[1]


def test_the_tables_of_maps_go_with_them() -> None:
    keys, numbers_of = tf.constant(["a", "b"]), tf.constant([1, 2])
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(keys, numbers_of), default_value=-1
    )
    words = Dataset.from_tensor_slices(["b", "a", "c"])
    parts = check(lambda: words.map(table.lookup).batch(2))
    assert parts.make_batch is not None
