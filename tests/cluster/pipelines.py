"""Pipelines of every kind, whose batches of numbers tell which examples were read."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

EXAMPLES = 60
SERVICE = tf.data.experimental.service
Data = tf.data.Dataset


def column(number: Any) -> tf.Tensor:
    return tf.reshape(tf.cast(number, tf.float32), [1])


def numbers(start: int = 0, stop: int = EXAMPLES) -> tf.data.Dataset:
    return Data.range(start, stop).map(column)


def repeated(number: Any) -> tf.Tensor:
    """Return a vector of 1 to 3 times the same number."""
    return tf.fill([number % 3 + 1], tf.cast(number, tf.float32))


def parsed(record: Any) -> tf.Tensor:
    return tf.ensure_shape(tf.io.parse_tensor(record, tf.float32)[:1], [1])


def of_line(line: Any) -> tf.Tensor:
    return tf.reshape(tf.strings.to_number(line), [1])


def generated() -> Iterator[np.ndarray]:
    for number in range(EXAMPLES):
        yield np.array([number], "float32")


def no_example_6(number: Any) -> tf.Tensor:
    return tf.debugging.check_numerics(column(number) / column(number - 5) * column(number - 5), "")


def sparse(number: Any) -> tf.SparseTensor:
    return tf.sparse.from_dense(tf.cast(tf.stack([number + 1, 0]), tf.float32))


def dense(batch: tf.SparseTensor) -> tf.Tensor:
    return tf.ensure_shape(tf.sparse.to_dense(batch)[:, :1] - 1, [None, 1])


def called(number: Any) -> tf.Tensor:
    return tf.reshape(tf.py_function(float, [number], tf.float32), [1])


@dataclasses.dataclass(frozen=True)
class Files:
    """The examples in files of a folder.

    Attributes:
        folder: the folder.
        records: files of records, tensors of different lengths.
        lines: files of lines of text.
        floats: a file of float32 numbers.
    """

    folder: Path
    records: list[str]
    lines: list[str]
    floats: str

    @classmethod
    def write(cls, folder: Path) -> Files:
        examples = np.arange(EXAMPLES, dtype="float32")
        records, lines, floats = [], [], folder / "floats"
        floats.write_bytes(examples.tobytes())
        for i, part in enumerate(np.split(examples, 4)):
            records.append(str(folder / f"records-{i}"))
            with tf.io.TFRecordWriter(records[-1]) as file:
                for number in part:
                    tensor = np.full([1 + int(number) % 3], number)
                    file.write(tf.io.serialize_tensor(tensor).numpy())
            lines.append(str(folder / f"lines-{i}.txt"))
            Path(lines[-1]).write_text("".join(f"{number}\n" for number in part))
        return cls(folder, records, lines, str(floats))

    def new(self) -> str:
        """Return the path of a folder that is not there yet."""
        return str(Path(tempfile.mkdtemp(dir=self.folder)) / "new")


def pipelines(files: Files, service: str) -> dict[str, Callable[[], tf.data.Dataset]]:
    """Return functions that make a dataset of batches of float32 numbers, `[None, 1]`.

    Args:
        files: the examples in files.
        service: the address of a dispatcher of tf.data's service.
    """
    parallel: dict[str, Any] = {"num_parallel_calls": 4}
    unordered = tf.data.Options()
    unordered.deterministic = False
    keys = tf.range(EXAMPLES, dtype=tf.int64)
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, keys), -1)
    x = np.arange(EXAMPLES, dtype="float32")[:, None]
    from_x, from_records = Data.from_tensor_slices, tf.data.TFRecordDataset
    return {
        "range": lambda: numbers().batch(7),
        "tensors": lambda: from_x(x).batch(7),
        "shuffle": lambda: from_x(x).shuffle(EXAMPLES).batch(7),
        "shuffle once": lambda: (
            from_x(x).shuffle(EXAMPLES, reshuffle_each_iteration=False).map(lambda v: v).batch(7)
        ),
        "map shuffle": lambda: (
            Data.range(EXAMPLES)
            .map(column, **parallel)
            .shuffle(20)
            .batch(7, drop_remainder=True)
            .prefetch(tf.data.AUTOTUNE)
        ),
        "not deterministic": lambda: (
            Data.range(EXAMPLES).map(column, deterministic=False, **parallel).batch(7)
        ),
        "records": lambda: from_records(files.records).map(parsed).batch(7),
        "records parallel": lambda: (
            from_records(files.records, num_parallel_reads=4)
            .with_options(unordered)
            .map(parsed, **parallel)
            .shuffle(30)
            .batch(7)
        ),
        "interleave": lambda: (
            Data.from_tensor_slices(files.records)
            .interleave(from_records, 3, num_parallel_calls=3, deterministic=False)
            .map(parsed)
            .batch(7)
        ),
        "interleave map": lambda: (
            Data.from_tensor_slices(files.records)
            .interleave(lambda file: from_records(file).map(parsed), 2)
            .batch(7)
        ),
        "list files": lambda: (
            Data.list_files(f"{files.folder}/lines-*")
            .flat_map(tf.data.TextLineDataset)
            .map(of_line)
            .batch(7)
        ),
        "lines": lambda: tf.data.TextLineDataset(files.lines).map(of_line).batch(7),
        "fixed length": lambda: (
            tf.data.FixedLengthRecordDataset(files.floats, 4)
            .map(lambda record: tf.io.decode_raw(record, tf.float32))
            .map(lambda number: tf.ensure_shape(number, [1]))
            .batch(7)
        ),
        "csv": lambda: (
            tf.data.experimental.CsvDataset(files.lines, [tf.float32]).map(column).batch(7)
        ),
        "random map": lambda: (
            Data.range(EXAMPLES)
            .map(lambda v: column(v) + 0 * tf.random.uniform([1]), **parallel)
            .batch(7)
        ),
        "filter": lambda: numbers().filter(lambda v: v[0] % 3 < 2).map(lambda v: v + 0).batch(7),
        "random filter": lambda: (
            Data.range(EXAMPLES)
            .filter(lambda _: tf.random.uniform([], seed=1) < 2)
            .map(column, **parallel)
            .batch(7)
        ),
        "cache": lambda: numbers().cache().shuffle(EXAMPLES).batch(7),
        "cache file": lambda: numbers().cache(files.new()).batch(7),
        "snapshot": lambda: numbers().snapshot(files.new()).batch(7),
        "service": lambda: (
            from_x(x).batch(5).apply(SERVICE.distribute("distributed_epoch", service))
        ),
        "service parallel": lambda: (
            numbers().apply(SERVICE.distribute("parallel_epochs", service)).batch(7)
        ),
        "take skip": lambda: numbers().skip(3).take(40).batch(7).take(4),
        "repeat": lambda: numbers().repeat(2).batch(7).repeat(2),
        "shard": lambda: Data.range(EXAMPLES).shard(2, 1).map(column).batch(7),
        "zip": lambda: (
            Data.zip((numbers(), Data.range(EXAMPLES))).map(lambda a, b: a + 0 * column(b)).batch(7)
        ),
        "concatenate": lambda: numbers(0, 20).concatenate(numbers(20)).batch(7),
        "sample": lambda: Data.sample_from_datasets([numbers(0, 20), numbers(20)]).batch(7),
        "choose": lambda: Data.choose_from_datasets(
            [numbers(0, 20), numbers(20)], Data.range(2).repeat()
        ).batch(7),
        "enumerate": lambda: numbers().enumerate().map(lambda i, v: v + 0 * column(i)).batch(7),
        "padded": lambda: (
            Data.range(1, EXAMPLES).map(repeated).padded_batch(7, [4]).map(lambda b: b[:, :1])
        ),
        "ragged": lambda: (
            Data.range(1, EXAMPLES)
            .map(repeated)
            .ragged_batch(7)
            .map(lambda batch: tf.ensure_shape(batch.to_tensor()[:, :1], [None, 1]))
        ),
        "sparse": lambda: Data.range(EXAMPLES).map(sparse).batch(7).map(dense),
        "unbatch": lambda: numbers().batch(10).unbatch().shuffle(9).batch(7),
        "window": lambda: numbers().window(7).flat_map(lambda window: window.batch(7)),
        "by length": lambda: numbers().bucket_by_sequence_length(
            lambda v: tf.cast(v[0], tf.int32) % 3, [1, 2], [7, 7, 7]
        ),
        "scan": lambda: numbers().scan(0.0, lambda state, v: (state + 1, v)).batch(7),
        "take while": lambda: numbers().take_while(lambda v: v[0] < 50).batch(7),
        "unique": lambda: Data.range(EXAMPLES).map(lambda v: v // 2).unique().map(column).batch(7),
        "rebatch": lambda: numbers().batch(10).rebatch(7),
        "generator": lambda: (
            Data.from_generator(generated, output_signature=tf.TensorSpec([1], tf.float32))
            .map(lambda v: v + 0)
            .batch(7)
        ),
        "py function": lambda: (
            Data.range(EXAMPLES).map(called).batch(7).map(lambda batch: batch + 0)
        ),
        "table": lambda: Data.range(EXAMPLES).map(table.lookup).map(column).batch(7),
        "ignore errors": lambda: Data.range(EXAMPLES).map(no_example_6).ignore_errors().batch(7),
        "save load": lambda: _loaded(files.new()).map(lambda v: v + 0).batch(7),
        "v1": lambda: tf.compat.v1.data.Dataset.range(EXAMPLES).map(column).batch(7),
    }


def _loaded(folder: str) -> tf.data.Dataset:
    numbers().save(folder)
    return Data.load(folder)


def examples_of(dataset: tf.data.Dataset) -> list[float]:
    """Return the examples of an epoch of a dataset of batches, in this process."""
    return sorted(np.concatenate([batch[:, 0] for batch in dataset.as_numpy_iterator()]).tolist())
