"""Data on the cluster: each example once, what runs where, its errors, and predictions in order."""

from __future__ import annotations

import itertools
import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfps
from tests.cluster.conftest import NUM_WORKERS
from tests.cluster.pipelines import (
    EXAMPLES,
    SERVICE,
    Data,
    Files,
    column,
    examples_of,
    numbers,
    of_line,
    parsed,
    pipelines,
)
from tests.cluster.programs.counted import counting_model, counts, reset

pytestmark = pytest.mark.timeout(180)

X = np.arange(EXAMPLES, dtype="float32")[:, None]
ALL = np.arange(EXAMPLES, dtype="float32").tolist()
# Each is split between the chief and the workers in a way of its own.
DIFFERENT = {
    *("records parallel", "interleave map", "filter", "cache file", "zip", "ragged", "sparse"),
    *("py function", "table"),
}

MakeStrategy = Callable[..., tfps.ParameterServerStrategy]


@pytest.fixture(scope="module")
def echo(make_strategy: MakeStrategy) -> keras.Model:
    """A model that predicts what it is given, so that what was read can be told."""
    with make_strategy().scope():
        x = keras.Input((1,))
        model = keras.Model(x, keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")(x))
        model.compile(keras.optimizers.SGD(0.0), "mse")
    return model


@pytest.fixture(scope="module")
def counter(make_strategy: MakeStrategy) -> keras.Model:
    with make_strategy().scope():
        return counting_model(EXAMPLES)


@pytest.fixture(scope="module")
def makers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What makes each pipeline, by name."""
    dispatcher = SERVICE.DispatchServer()
    address = dispatcher.target.split("://")[1]
    worker = SERVICE.WorkerServer(SERVICE.WorkerConfig(dispatcher_address=address))
    yield pipelines(Files.write(tmp_path_factory.mktemp("data")), dispatcher.target)
    worker._stop()
    dispatcher._stop()


def read(model: keras.Model, data: Any, **arguments: Any) -> list[float]:
    """Return the examples that are read of some data."""
    return sorted(model.predict(data, verbose=0, **arguments)[:, 0].tolist())


def trained_on(model: keras.Model, data: Any) -> list[list[int]]:
    """Return how often each example was trained on after each of two epochs."""
    reset(model)
    after: list[list[int]] = []
    count = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: after.append(counts(model).tolist())
    )
    model.fit(data, epochs=2, callbacks=[count], verbose=0)
    return after


def expected(examples: list[float]) -> list[list[int]]:
    """Return what `trained_on` is to return for data of these examples."""
    times = np.bincount(np.asarray(examples, int), minlength=EXAMPLES)
    return [times.tolist(), (2 * times).tolist()]


@pytest.mark.parametrize(
    "are_different", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["9", "others"]
)
def test_each_epoch_trains_on_each_example_once(
    counter: keras.Model, makers: dict[str, Any], are_different: bool
) -> None:
    names = [name for name in makers if (name in DIFFERENT) == are_different]
    given = {name: expected(examples_of(makers[name]())) for name in names}
    found = {
        name: trained_on(counter, makers[name]().map(lambda batch: (batch, batch)))
        for name in names
    }
    if not are_different:
        # The batch that is dropped is another one in each epoch.
        for several in (given, found):
            assert [sum(after) for after in several.pop("map shuffle")] == [56, 112]
    assert found == given
    assert len(found) == (9 if are_different else 36)


@pytest.mark.slow
def test_predict_reads_each_example_once(echo: keras.Model, makers: dict[str, Any]) -> None:
    given, found = {}, {}
    for name, make in makers.items():
        given[name], dataset = 2 * [examples_of(make())], make()
        found[name] = [read(echo, dataset) for _ in range(2)]
    for several in (given, found):
        dropped = several.pop("map shuffle")
        assert [(len(epoch), len(set(epoch))) for epoch in dropped] == [(56, 56)] * 2
    assert found == given


class Marks:
    """Tell which elements were mapped in which process: a map leaves their numbers there."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._area = {"dtypes": [tf.int64], "shared_name": name}

    def __call__(self, number: tf.Tensor) -> tf.Tensor:
        """Leave a number in the process where this runs; return it as a column."""
        with tf.control_dependencies([tf.raw_ops.Stage(values=[number], shared_name=self._name)]):
            return column(number)

    def left_in(self, task: str) -> list[int]:
        with tf.device(f"/job:{task}/device:CPU:0"):
            size = int(tf.raw_ops.StageSize(**self._area))
            return [int(tf.raw_ops.Unstage(**self._area)[0]) for _ in range(size)]

    def left(self) -> tuple[list[int], list[list[int]]]:
        """Return what was mapped on the chief, and on each worker, since the last call."""
        workers = [self.left_in(f"worker/task:{i}") for i in range(NUM_WORKERS)]
        return sorted(self.left_in("chief/task:0")), workers


def test_maps_run_once_for_each_example_and_on_the_workers(echo: keras.Model) -> None:
    marks, once = Marks("marks"), list(range(EXAMPLES))
    shuffled = Data.range(EXAMPLES).shuffle(EXAMPLES).map(marks, num_parallel_calls=2)

    def share(context: tf.distribute.InputContext) -> tf.data.Dataset:
        shares, number = context.num_input_pipelines, context.input_pipeline_id
        return Data.range(EXAMPLES).shard(shares, number).map(marks).batch(7)

    for data in (shuffled.batch(7), shuffled.shuffle(9).batch(7), share):
        assert read(echo, data) == ALL
        on_chief, on_workers = marks.left()
        assert on_chief == []
        assert sorted(itertools.chain(*on_workers)) == once
        assert all(on_workers)
    # What decides which examples there are is the chief's, and so are the maps before it.
    assert read(echo, shuffled.filter(lambda v: v[0] > -1).batch(7)) == ALL
    assert marks.left() == (once, [[]] * NUM_WORKERS)


def test_random_layers_and_variables_in_maps_go_on_as_in_plain_keras(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    images = np.random.default_rng(0).random((12, 4, 4, 1), "float32")
    factor = tf.Variable(1.0)
    raise_it = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: factor.assign_add(1.0))

    def losses(scope: Any) -> list[float]:
        """Return the losses of two fits, of two epochs each."""
        layers = [keras.layers.RandomFlip(seed=1), keras.layers.RandomContrast(0.5, seed=2)]

        def augmented(image: Any) -> Any:
            for layer in layers:
                image = layer(image, training=True)
            return factor * tf.reshape(image, [16]), [0.0]

        with scope:
            start = keras.initializers.Constant(np.arange(16.0)[:, None])
            dense = keras.layers.Dense(1, use_bias=False, kernel_initializer=start)
            model = keras.Sequential([keras.Input((16,)), dense])
            model.compile(keras.optimizers.SGD(0.0), "mse")
        factor.assign(1.0)
        dataset = Data.from_tensor_slices(images).map(augmented).batch(3)
        fits = [model.fit(dataset, epochs=2, callbacks=[raise_it], verbose=0) for _ in range(2)]
        return [loss for fit in fits for loss in fit.history["loss"]]

    ours, plain = losses(strategy.scope()), losses(nullcontext())
    np.testing.assert_allclose(ours, plain, rtol=1e-5)
    of_one = np.array(plain) / np.array([1, 2, 3, 4]) ** 2
    assert len(set(of_one.round(2))) == 4
    assert np.ptp(of_one) < 0.5 * np.mean(of_one)


def test_random_numbers_by_a_seed_are_those_of_one_process(echo: keras.Model) -> None:
    tf.random.set_seed(5)
    for draws in (
        Data.range(EXAMPLES).map(lambda _: tf.random.uniform([1])).batch(2),
        Data.range(EXAMPLES).batch(2).map(lambda batch: tf.random.uniform([tf.size(batch), 1])),
    ):
        given = np.concatenate(list(draws.as_numpy_iterator())).flatten()
        assert read(echo, draws) == sorted(given.tolist())
        assert len(set(given)) == EXAMPLES


def sharded(dataset: tf.data.Dataset, context: tf.distribute.InputContext) -> tf.data.Dataset:
    return dataset.shard(context.num_input_pipelines, context.input_pipeline_id)


def lookup_table() -> tf.lookup.StaticHashTable:
    keys = tf.range(EXAMPLES, dtype=tf.int64)
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, keys), -1)


def test_data_functions_use_what_was_made_outside_of_them(echo: keras.Model) -> None:
    outside, table, factor = Data.from_tensor_slices(X), lookup_table(), tf.Variable(2.0)
    layer = keras.layers.StringLookup(vocabulary=[str(i) for i in range(EXAMPLES)])

    def of_datasets(context: tf.distribute.InputContext) -> tf.data.Dataset:
        parts = outside.take(20).concatenate(outside.skip(20))
        within = Data.range(1).flat_map(lambda _: outside)
        mean = Data.zip((parts, within)).map(lambda a, b: (a + b) / 2)
        return sharded(mean, context).batch(7)

    def of_tables(context: tf.distribute.InputContext) -> tf.data.Dataset:
        indices = sharded(Data.range(EXAMPLES), context).map(table.lookup)
        indices = indices.map(lookup_table().lookup).map(tf.strings.as_string).map(layer)
        return indices.map(lambda index: factor * column(index - 1)).batch(7)

    assert read(echo, of_datasets) == ALL
    assert read(echo, of_tables) == [2 * number for number in ALL]
    tf.random.set_seed(None)
    shuffled = {seed: outside.shuffle(EXAMPLES, seed=seed) for seed in (3, None)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(echo, lambda context: sharded(shuffled[3], context).batch(7)) == ALL
    with pytest.warns(UserWarning, match="shuffled without a seed"):
        read(echo, lambda context: sharded(shuffled[None], context).batch(7))
    of_python = Data.from_generator(lambda: iter(X), output_signature=tf.TensorSpec([1]))
    with pytest.raises(ValueError, match=r"calls a Python function .* Give the dataset itself"):
        read(echo, lambda context: sharded(of_python, context).batch(7))


def test_shares_are_read_once_each_and_uneven_ones_to_their_ends(
    echo: keras.Model, counter: keras.Model
) -> None:
    def share(context: tf.distribute.InputContext) -> tf.data.Dataset:
        pairs = Data.from_tensor_slices((X, X)).shuffle(EXAMPLES, seed=3)
        return sharded(pairs, context).batch(4)

    assert trained_on(counter, tfps.Data(share, shares=7)) == expected(ALL)

    def uneven(context: tf.distribute.InputContext) -> tf.data.Dataset:
        """Return 8 batches for worker 0, and 2 for worker 1."""
        first = context.input_pipeline_id == 0
        return Data.from_tensor_slices(X[:48] if first else X[48:]).batch(6)

    assert read(echo, uneven, steps=10) == ALL
    assert read(echo, uneven, steps=5) == [*ALL[:18], *ALL[48:]]
    with pytest.warns(UserWarning, match="some had fewer"):
        unknown = read(echo, lambda context: uneven(context).filter(lambda _: True), steps=10)
    assert unknown == [*ALL[:30], *ALL[48:]]


def test_errors_begin_with_who_read_what_failed_and_what_to_do(
    echo: keras.Model, tmp_path: Path
) -> None:
    files = Files.write(tmp_path)
    damaged = bytearray(Path(files.records[0]).read_bytes())
    damaged[60] ^= 255
    Path(files.records[0]).write_bytes(damaged)
    tables: list[Any] = []

    def of_file(path: str) -> tf.data.Dataset:
        return tf.data.TFRecordDataset(path).map(parsed).batch(2)

    def of_one_table(context: tf.distribute.InputContext) -> tf.data.Dataset:
        tables.append(tables[0] if tables else lookup_table())
        return Data.range(9).map(tables[-1].lookup).map(column).batch(2)

    missing = (
        r"could not read the data: .*/missing; No such file or directory\. Files must be under"
    )
    corrupt = r"could not read the data: corrupted record at \d+\. A file is damaged, cut off"
    lines = Data.from_tensor_slices(["1", "2", "x"]).map(of_line).batch(1)
    errors: list[tuple[Any, type[Exception], str]] = [
        (of_file(f"{tmp_path}/missing"), tf.errors.NotFoundError, f"The chief {missing}"),
        (
            lambda _: of_file(f"{tmp_path}/missing"),
            tf.errors.NotFoundError,
            rf"Worker \d {missing}",
        ),
        (of_file(files.records[0]), tf.errors.DataLossError, f"The chief {corrupt}"),
        (lines, tf.errors.InvalidArgumentError, r"Worker \d could .*: x \(op StringToNumber\)\."),
        (of_one_table, tf.errors.OpError, r"Worker \d could not build .* create it at each call\."),
    ]
    for data, kind, first_line in errors:
        with pytest.raises(kind) as raised:
            read(echo, data)
        assert re.match(first_line, str(raised.value).splitlines()[0]), first_line
    assert read(echo, X) == ALL
    with pytest.warns(UserWarning, match="The data holds no batch, so no step has run"):
        echo.fit(numbers().filter(lambda _: False).batch(2).map(lambda b: (b, b)), verbose=0)


def test_data_of_unknown_rank_is_refused_with_what_to_do(echo: keras.Model) -> None:
    records = numbers().map(tf.io.serialize_tensor)
    batches = records.map(lambda record: tf.io.parse_tensor(record, tf.float32)).batch(2)
    for call, data in ((echo.fit, Data.zip((batches, batches))), (echo.predict, batches)):
        with pytest.raises(ValueError, match=r"has no rank\. Give it a shape in a map"):
            call(data, verbose=0)


def test_predictions_come_batch_by_batch_or_go_to_files(
    echo: keras.Model, strategy: tfps.ParameterServerStrategy, tmp_path: Path
) -> None:
    def share(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return sharded(Data.from_tensor_slices(X).batch(4), context)

    folder = tmp_path / "new" / "folder"
    mapped = Data.from_tensor_slices(X).map(lambda v: v + 0).batch(4)
    for data in (mapped, share):
        batches = list(strategy.predictions(echo, data))
        np.testing.assert_array_equal(batches, X.reshape(15, 4, 1))
        assert strategy.write_predictions(str(folder), echo, data) == 15
        paths = sorted(folder.iterdir())
        assert [path.name for path in paths] == [f"{n:09}.npy" for n in range(15)]
        np.testing.assert_array_equal([np.load(path) for path in paths], batches)
        for path in paths:
            path.unlink()
    early = strategy.predictions(echo, mapped)
    np.testing.assert_array_equal([next(early), next(early)], X[:8].reshape(2, 4, 1))
    early.close()
    of_arrays = list(strategy.predictions(echo, X, batch_size=4, steps=3))
    np.testing.assert_array_equal(of_arrays, X[:12].reshape(3, 4, 1))


def test_predictions_of_several_outputs(
    strategy: tfps.ParameterServerStrategy, tmp_path: Path
) -> None:
    with strategy.scope():
        x = keras.Input((1,))
        short = keras.layers.Dense(3, kernel_initializer="ones", dtype="bfloat16")(x)
        model = keras.Model(x, [keras.layers.Dense(2, kernel_initializer="ones")(x), short])
    assert strategy.write_predictions(str(tmp_path), model, X, batch_size=16, steps=3) == 3
    [two, three] = next(strategy.predictions(model, X))
    assert (two.shape, three.shape, three.dtype) == ((32, 2), (32, 3), "bfloat16")
    names = [f"{batch:09}-{output}.npy" for batch in range(3) for output in range(2)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    written = [np.load(tmp_path / name) for name in names]
    assert [array.dtype for array in written] == ["float32"] * 6
    np.testing.assert_array_equal(np.concatenate(written[::2]), np.repeat(X[:48], 2, axis=1))
    np.testing.assert_array_equal(np.concatenate(written[1::2]), np.repeat(X[:48], 3, axis=1))


def test_a_slow_generator_is_named(
    counter: keras.Model, capsys: pytest.CaptureFixture[str]
) -> None:
    def batches(pause_s: float) -> Iterator[Any]:
        while True:
            time.sleep(pause_s)  # stands for the reading
            yield X[:4], X[:4]

    reset(counter)
    counter.fit(batches(0.02), steps_per_epoch=10, epochs=2, verbose=2)
    assert counts(counter)[:5].tolist() == [20, 20, 20, 20, 0]
    lines = capsys.readouterr().out.splitlines()
    of_rate = r"The chief reads the data \(generator\): it can feed ([\d.]+) batches/s\."
    found = [re.fullmatch(of_rate, line) for line in lines]
    [rate] = [float(match[1]) for match in found if match]
    assert 1 < rate < 50
    waiting = rf"The workers waited for data (\d+)% of the time\. {of_rate} docs/data\.md .*"
    assert (match := re.fullmatch(waiting, lines[-1]))
    assert int(match[1]) > 20
    counter.fit(batches(0.0), steps_per_epoch=5, verbose=0)
    assert capsys.readouterr().out == ""
