"""Each form of data that fit takes, as a source; read in this process."""

from __future__ import annotations

import collections
import json
import math
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfps
from tfps._tensorflow import datasets
from tfps.training import data, sources
from tfps.training.data import as_source
from tfps.training.reader import random_state, set_random_state
from tfps.training.sources import ChiefSource, FunctionSource, Source

N = 23
Pair = collections.namedtuple("Pair", ["a", "b"])


def groups(source: ChiefSource, start: int = 0) -> Iterator[list[bytes]]:
    reader = source.reader(start)
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return


def batches(source: Source, workers: int = 1) -> list[Any]:
    """Return the batches of an epoch: of the chief in order, or of one worker after the other."""
    if isinstance(source, FunctionSource):
        contexts = [tf.distribute.InputContext(workers, worker) for worker in range(workers)]
        return [batch for context in contexts for batch in source.on_worker(context)]
    assert isinstance(source, ChiefSource)
    packed = list(groups(source))
    if not packed:
        return []
    return list(source.dataset(tf.data.Dataset.from_tensor_slices(np.array(packed, object))))


def examples(source: Source, workers: int = 1) -> list[int]:
    return [int(value) for batch in batches(source, workers) for value in tf.reshape(batch, [-1])]


def dataset(batch_size: int) -> tf.data.Dataset:
    return tf.data.Dataset.range(N).batch(batch_size)


def of_share(batch_size: int) -> Callable[[tf.distribute.InputContext], tf.data.Dataset]:
    return lambda c: dataset(batch_size).shard(c.num_input_pipelines, c.input_pipeline_id)


class Rows(keras.utils.PyDataset):
    """Three batches of two rows; counts the epochs that have ended."""

    ended = 0

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return np.full((2, 1), index, np.float32), np.full(2, index)

    def on_epoch_end(self) -> None:
        self.ended += 1


@pytest.fixture(autouse=True)
def in_a_cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have datasets be as those made under a strategy, and workers be this process."""
    monkeypatch.setattr(data, "is_lost", lambda handle: False)
    with tf.device("/device:CPU:0"):
        yield


@pytest.mark.parametrize("batch_size", [1, 5, 23, 40])
@pytest.mark.parametrize(
    "make",
    [
        lambda size: as_source(np.arange(N), batch_size=size),
        lambda size: as_source(np.arange(N), batch_size=size, shuffle=True),
        lambda size: as_source(np.arange(N), batch_size=size, shuffle="batch"),
        lambda size: as_source(tf.range(N), batch_size=size, shuffle=True),
        lambda size: as_source(dataset(size)),
        lambda size: as_source(tf.data.Dataset.range(N).shuffle(N).batch(size)),
        lambda size: as_source(of_share(size)),
    ],
    ids=["arrays", "shuffled", "in batches", "tensors", "dataset", "shuffled dataset", "function"],
)
def test_an_epoch_has_each_example_once(make: Callable[[int], Source], batch_size: int) -> None:
    source = make(batch_size)
    for workers in (1, 3):
        assert sorted(examples(source, workers)) == list(range(N))
        assert len(batches(source, workers)) == math.ceil(N / batch_size)
    if isinstance(source, ChiefSource):
        assert source.batches == math.ceil(N / batch_size)


@pytest.mark.parametrize("x", [np.arange(N), tf.range(N), dataset(4)], ids=lambda x: str(type(x)))
def test_what_is_not_to_be_shuffled_keeps_its_order(x: Any) -> None:
    source = as_source(x, batch_size=4)
    assert examples(source) == examples(source) == list(range(N))


def test_each_epoch_of_arrays_has_another_order_and_a_seed_brings_it_back() -> None:
    source = as_source(np.arange(N), batch_size=4, shuffle=True)
    keras.utils.set_random_seed(5)
    epochs = [examples(source) for _ in range(3)]
    assert len({tuple(epoch) for epoch in [*epochs, range(N)]}) == 4
    keras.utils.set_random_seed(5)
    assert [examples(source) for _ in range(3)] == epochs


def test_within_batches_rows_are_shuffled_and_batches_stay() -> None:
    source = as_source(np.arange(40), batch_size=8, shuffle="batch")
    shuffled = [batch.numpy().tolist() for batch in batches(source)]
    rows = [list(range(start, start + 8)) for start in range(0, 40, 8)]
    assert shuffled != rows
    assert [sorted(batch) for batch in shuffled] == rows


def test_the_first_batches_are_those_of_one_machine() -> None:
    endless = as_source(dataset(4).repeat())
    assert isinstance(endless, ChiefSource)
    assert endless.is_endless
    for count in (1, 3, 7):
        source = endless.first(count)
        expected = [batch.tolist() for batch in dataset(4).repeat().take(count).as_numpy_iterator()]
        for _ in range(2):
            assert [batch.numpy().tolist() for batch in batches(source)] == expected
        assert (source.batches, source.is_endless) == (count, False)


@pytest.mark.parametrize(
    ("x", "whole"),
    [(np.arange(N), 5), (dataset(5), 5), (Rows(), 3)],
    ids=["arrays", "dataset", "PyDataset"],
)
def test_the_first_batches_are_not_more_than_there_are(x: Any, whole: int) -> None:
    for count in (2, 9):
        source = as_source(x, batch_size=5).first(count)
        assert isinstance(source, ChiefSource)
        assert source.batches == len(batches(source)) == min(count, whole)


def test_structures_of_arrays_stay_together() -> None:
    x = {"a": np.arange(N), "b": [np.arange(N) * 2, (np.arange(N) * 3, None)]}
    source = as_source(x, np.arange(N) * 4, np.ones(N), batch_size=6, shuffle=True)
    found = batches(source)
    assert len(found) == 4
    for features, y, weight in found:
        np.testing.assert_array_equal(features["b"][0], features["a"] * 2)
        np.testing.assert_array_equal(features["b"][1][0], features["a"] * 3)
        assert features["b"][1][1] is None
        np.testing.assert_array_equal(y, features["a"] * 4)
        assert weight.shape == y.shape


def test_floats_have_the_type_of_keras_and_other_values_their_own() -> None:
    x = {"floats": np.linspace(0, 1, 5), "halves": np.ones(5, np.float16), "ids": np.arange(5)}
    source = as_source(x, np.array(["a", "bc", "", "d", "e"]), batch_size=2)
    features, y = batches(source)[0]
    assert {name: value.dtype for name, value in features.items()} == {
        "floats": tf.float32,
        "halves": tf.float32,
        "ids": tf.int64,
    }
    assert y.numpy().tolist() == [b"a", b"bc"]
    keras.config.set_floatx("float64")
    try:
        assert batches(as_source(np.ones(3, np.float32)))[0].dtype == tf.float64
    finally:
        keras.config.set_floatx("float32")


@pytest.mark.parametrize(
    "x",
    [
        tf.ragged.constant([[1, 2], [3], [], [4]]),
        tf.sparse.from_dense(np.eye(4)),
        tf.range(4.0),
    ],
    ids=["ragged", "sparse", "dense"],
)
def test_tensors_are_read_as_arrays_are(x: Any) -> None:
    source = as_source(x, np.arange(4), batch_size=3, shuffle=True)
    assert isinstance(source, ChiefSource)
    assert source.name == "arrays"
    found = batches(source)
    assert [y.shape for _, y in found] == [[3], [1]]
    assert all(type(part) is type(x) or isinstance(part, tf.Tensor) for part, _ in found)
    assert sorted(int(n) for _, y in found for n in y) == list(range(4))


class Counted(np.ndarray):
    """An array that notes which rows were read, as of a file."""

    read: list[int]

    def __getitem__(self, rows: Any) -> Any:
        self.read.append(len(range(len(self))[rows]) if isinstance(rows, slice) else len(rows))
        return np.asarray(super().__getitem__(rows))


@pytest.mark.parametrize("shuffle", [False, True, "batch"])
def test_arrays_are_read_batch_by_batch(shuffle: bool | str) -> None:
    array = np.arange(1000.0).view(Counted)
    array.read = []
    source = as_source(array, batch_size=10, shuffle=shuffle)
    assert isinstance(source, ChiefSource)
    assert sum(array.read) <= 1  # for the type
    array.read.clear()
    reader = source.reader()
    for number in range(1, 4):
        next(reader)
        assert array.read == [10] * number
    array.read.clear()
    next(source.reader(50))  # those before are skipped unread
    assert array.read == [10]


def test_a_file_larger_than_memory_is_read(tmp_path: Path) -> None:
    shape = (1 << 16, 1 << 18)
    rows = np.memmap(tmp_path / "rows", np.float32, "w+", shape=shape)  # 64 GiB of holes
    rows[3, 5] = 7
    source = as_source(rows, np.arange(len(rows)), batch_size=2, shuffle=True)
    assert isinstance(source, ChiefSource)
    assert source.batches == 1 << 15
    assert len(next(groups(source))) == 2
    x, y = batches(as_source(rows, np.arange(len(rows)), batch_size=2).first(2))[1]
    assert (x.numpy()[1, 5], y.numpy().tolist()) == (7, [2, 3])
    assert x.shape == [2, 1 << 18]


@pytest.mark.parametrize(
    "make",
    [
        lambda: as_source(np.arange(N), batch_size=3, shuffle=True),
        lambda: as_source(dataset(3)),
        lambda: as_source(Rows()),
        lambda: as_source(np.arange(N), batch_size=3).numbered(),
    ],
    ids=["arrays", "dataset", "PyDataset", "numbered"],
)
def test_an_epoch_goes_on_at_a_batch(make: Callable[[], ChiefSource]) -> None:
    source = make()
    state = random_state()
    whole = list(groups(source))
    assert len(whole) >= 3
    set_random_state(json.loads(json.dumps(state)))  # as in a file
    assert list(groups(source, 2)) == whole[2:]


@pytest.mark.parametrize(
    "x",
    [
        np.arange(N),
        dataset(4).map(lambda x: x),
        lambda c: tf.data.Dataset.range(N).shard(c.num_input_pipelines, c.input_pipeline_id),
    ],
    ids=["arrays", "dataset", "function"],
)
def test_numbered_batches_have_their_number_in_the_order_of_the_data(x: Any) -> None:
    source = as_source(x, batch_size=4).map(lambda batch: batch * 10)
    found = batches(source.numbered(), workers=3)
    count = N if callable(x) else 6
    assert sorted(int(number) for number, _ in found) == list(range(count))
    for number, batch in found:
        first = int(number) * (10 if callable(x) else 40)
        assert int(tf.reshape(batch, [-1])[0]) == first


def test_a_function_is_mapped_over_the_batches_of_any_source() -> None:
    def mapped(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return x + 1, y * 2

    pairs = (np.zeros(6), np.arange(6))
    for source in (
        as_source(*pairs, batch_size=3),
        as_source(tf.data.Dataset.from_tensor_slices(pairs).batch(3)),
        as_source(lambda context: tf.data.Dataset.from_tensor_slices(pairs).batch(3)),
    ):
        (x, y), _ = batches(source.map(mapped))
        assert (x.numpy().tolist(), y.numpy().tolist()) == ([1, 1, 1], [0, 2, 4])


def test_elements_of_any_structure_arrive() -> None:
    pairs = tf.data.Dataset.from_tensor_slices(Pair(np.arange(4), (np.arange(4),)))
    source = as_source(pairs.batch(2))
    assert isinstance(source, ChiefSource)
    for batch in (batches(source)[1], batches(source.numbered())[1][1]):
        assert type(batch) is Pair
        assert (batch.a.numpy().tolist(), batch.b[0].numpy().tolist()) == ([2, 3], [2, 3])


def test_a_dataset_is_split_and_one_of_before_the_strategy_is_read_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doubled = dataset(4).map(lambda x: x * 2)
    source = as_source(doubled)
    assert isinstance(source, ChiefSource)
    assert source.make_batch is not None
    monkeypatch.setattr(data, "is_lost", lambda handle: True)
    whole = as_source(doubled)
    assert isinstance(whole, ChiefSource)
    assert whole.make_batch is None
    assert examples(source) == examples(whole) == list(range(0, 2 * N, 2))


def test_a_preprocessor_maps_lists_of_strings_as_one_array() -> None:
    def preprocess(
        x: tf.Tensor, y: tf.Tensor, weight: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, ...]:
        return tf.strings.length(x), y

    texts, labels = ["a b", "c", "d e f"], [0, 1, 0]
    source = as_source(texts, labels, batch_size=2, preprocess=preprocess)
    found = [(x.numpy().tolist(), y.numpy().tolist()) for x, y in batches(source)]
    assert found == [([3, 1], [0, 1]), ([5], [0])]
    weighted = as_source(
        texts, labels, batch_size=2, preprocess=preprocess, class_weight={0: 1.0, 1: 4.0}
    )
    assert [weight.numpy().tolist() for _, _, weight in batches(weighted)] == [[1, 4], [1]]


@pytest.mark.parametrize(
    "arguments",
    [
        (np.zeros(4), np.array([0, 1, 2, 1])),
        (tf.data.Dataset.from_tensors((np.zeros(4), [0, 1, 2, 1])),),
        (lambda context: tf.data.Dataset.from_tensors((np.zeros(4), [0, 1, 2, 1])),),
        (tfps.Data(lambda context: tf.data.Dataset.from_tensors((np.zeros(4), [0, 1, 2, 1])), 1),),
    ],
    ids=["arrays", "dataset", "function", "Data"],
)
def test_class_weights_are_the_weights_of_examples(arguments: tuple[Any, ...]) -> None:
    ((_, _, weight),) = batches(as_source(*arguments, class_weight={0: 0.5, 2: 3.0}))
    assert weight.numpy().tolist() == [0.5, 1.0, 3.0, 1.0]


def test_a_generator_is_read_once() -> None:
    def generate() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for size in (2, 3, 1):  # the type of a batch is that of the first two
            yield np.full((size, 2), size, np.float32), np.full(size, size)

    source = as_source(generate(), shuffle=True)
    assert isinstance(source, ChiefSource)
    assert (source.batches, source.is_python, source.name) == (None, True, "generator")
    found = batches(source)
    assert [(x.numpy().tolist(), y.numpy().tolist()) for x, y in found] == [
        ([[float(size)] * 2] * size, [size] * size) for size in (2, 3, 1)
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_pydataset_is_read_in_each_epoch(workers: int) -> None:
    rows = Rows(workers=workers)
    source = as_source(rows)
    assert isinstance(source, ChiefSource)
    assert (source.batches, source.is_python) == (3, True)
    assert source.name.endswith("Rows")
    for epoch in range(2):
        source.on_epoch_begin()
        assert [y.numpy().tolist() for _, y in batches(source)] == [[0, 0], [1, 1], [2, 2]]
        source.on_epoch_end()
        assert rows.ended == epoch + 1


def test_parts_that_are_none_are_left_out() -> None:
    def generate() -> Iterator[tuple[Any, ...]]:
        for _ in range(2):
            yield {"a": np.ones(2), "b": None}, np.zeros(2), None

    found = batches(as_source(generate()))
    assert len(found) == 2
    for x, y in found:
        assert (x["a"].shape, x["b"], y.shape) == ([2], None, [2])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": object()}, TypeError, "type object cannot be read. Give a function"),
        ({"x": None}, TypeError, "type NoneType cannot be read. Give a function"),
        ({"x": [1, 2]}, TypeError, "type list cannot be read. Give a function"),
        ({"x": object(), "preprocess": len}, TypeError, "type object cannot be read"),
        ({"x": np.zeros(3), "y": np.zeros(4)}, ValueError, "Data cardinality is ambiguous"),
        ({"x": dataset(2), "y": np.zeros(3)}, ValueError, "`y` should not be passed"),
        ({"x": Rows(), "sample_weight": np.zeros(3)}, ValueError, "weights` should not be passed"),
        ({"x": lambda c: c, "y": [1.0]}, ValueError, "leave out the argument y"),
        ({"x": lambda c: c, "sample_weight": [1.0]}, ValueError, "leave out.*sample_weight"),
        ({"x": (i for i in [])}, ValueError, "must yield at least one batch"),
        ({"x": (np.ones(2) for _ in [1])}, ValueError, "generator must return a tuple"),
        (
            {"x": ((np.ones(2),) for _ in [1]), "class_weight": {0: 1.0}},
            ValueError,
            "`class_weight` is not supported for Python generator",
        ),
        (
            {name: np.ones(2) for name in ("x", "y", "sample_weight")} | {"class_weight": {0: 1.0}},
            ValueError,
            "`class_weight` and `sample_weight` at the same time",
        ),
    ],
)
def test_data_that_cannot_be_read_is_refused(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        as_source(**arguments)


def test_a_function_that_returns_no_dataset_is_named() -> None:
    def numbers(context: tf.distribute.InputContext) -> list[int]:
        return [1, 2]

    source = as_source(numbers)
    assert isinstance(source, FunctionSource)
    with pytest.raises(TypeError, match=r"numbers.*returned list for share 1 of 2"):
        source.on_worker(tf.distribute.InputContext(2, 1))


def test_a_function_says_how_many_shares_its_data_has() -> None:
    with_shares, without = as_source(tfps.Data(of_share(2), 8)), as_source(of_share(2))
    assert isinstance(with_shares, FunctionSource)
    assert isinstance(without, FunctionSource)
    assert (with_shares.shares, without.shares) == (8, None)
    assert sorted(examples(with_shares, workers=8)) == list(range(N))


@pytest.mark.parametrize("shares", [0, -1, 2.0, "2", None])
def test_a_number_of_shares_that_is_none_is_refused(shares: Any) -> None:
    with pytest.raises(ValueError, match="it must be a whole number from 1 on"):
        tfps.Data(of_share(2), shares)


@pytest.fixture
def on_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process be another task than the one whose datasets a function uses."""
    monkeypatch.setattr(datasets, "_job", lambda: "worker")


@pytest.mark.usefixtures("on_worker")
def test_a_function_may_use_datasets_of_the_chief() -> None:
    words = tf.constant(["a", "b", "c"])
    initializer = tf.lookup.KeyValueTensorInitializer(words, tf.range(3))
    table = tf.lookup.StaticHashTable(initializer, default_value=-1)
    of_chief = tf.data.Dataset.from_tensor_slices(["b", "c", "x"]).map(table.lookup)
    shuffled = tf.data.Dataset.range(N).shuffle(N, seed=3)

    def function(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return tf.data.Dataset.zip(of_chief, shuffled.skip(1)).batch(2)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found, order), (last, _) = batches(as_source(function))
    assert (found.numpy().tolist(), last.numpy().tolist()) == ([1, 2], [-1])
    assert set(order.numpy().tolist()) < set(range(N))


@pytest.mark.usefixtures("on_worker")
def test_a_shuffle_of_the_chief_that_differs_among_workers_is_warned_of() -> None:
    tf.random.set_seed(None)
    shuffled = tf.data.Dataset.range(N).shuffle(N)
    with pytest.warns(UserWarning, match="shuffled without a seed"):
        found = examples(as_source(lambda context: shuffled.batch(2)))
    assert sorted(found) == list(range(N))


@pytest.mark.usefixtures("on_worker")
def test_a_python_function_of_the_chief_is_refused() -> None:
    of_python = tf.data.Dataset.from_generator(
        lambda: iter(range(3)), output_signature=tf.TensorSpec([], tf.int64)
    )
    with pytest.raises(ValueError, match="calls a Python function"):
        batches(as_source(lambda context: of_python.batch(2)))


@pytest.mark.usefixtures("on_worker")
def test_a_dataset_too_large_to_send_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    of_chief = tf.data.Dataset.from_tensor_slices(np.zeros(100))
    monkeypatch.setattr(sources, "_MAX_MESSAGE_BYTES", 800)
    with pytest.raises(ValueError, match="read its data on the worker"):
        batches(as_source(lambda context: of_chief.batch(2)))
