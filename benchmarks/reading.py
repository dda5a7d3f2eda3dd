"""How fast each form of data feeds the workers, where to make an example takes 5 ms.

    python -m benchmarks.reading --workers 2

starts a local cluster of real processes: workers of one thread each, 1 ps. A small model is fitted
to the same examples, read from TFRecord files by a tf.data.Dataset, a data function and a service
of tf.data, and from Python by a generator and a PyDataset. All make an example in the same time: a
sleep stands for the work, as a machine has fewer cores than a cluster. The forms take turns.
"""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tyro

import tfps
from benchmarks import launch, report

service = tf.data.experimental.service
_BATCH = 16
_FILES = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Measure how fast each form of data feeds the workers of a local cluster."""

    workers: int = 2
    """Workers, of one thread each."""
    examples: int = 800
    """Examples of an epoch."""
    milliseconds: int = 5
    """The time that it takes to make an example."""
    rounds: int = 3
    """Epochs of each form that are timed."""


def main() -> None:
    """Measure; as a task of a cluster, do that task's part."""
    arguments = tyro.cli(Arguments)
    launch.on_local_cluster(
        lambda: _measure(arguments), "benchmarks.reading", ps=1, workers=arguments.workers
    )


def _measure(arguments: Arguments) -> None:
    strategy = tfps.ParameterServerStrategy()
    with strategy.scope():
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
    dispatcher = service.DispatchServer()
    address = dispatcher.target.partition("://")[2]
    config = service.WorkerConfig(dispatcher_address=address)
    servers = [service.WorkerServer(config) for _ in range(arguments.workers)]
    with tempfile.TemporaryDirectory() as folder:
        forms = _forms(folder, arguments, dispatcher.target)
        rates: dict[str, list[float]] = {name: [] for name in forms}
        for _, (name, data) in itertools.product(range(arguments.rounds + 1), forms.items()):
            start = time.perf_counter()
            ran = model.fit(data(), verbose=0).history
            rates[name].append(arguments.examples / (time.perf_counter() - start))
            assert ran, f"{name} has fed nothing"
    del servers
    rows = []
    for name, (_, *measured) in rates.items():  # the first epoch traces
        low, middle, high = report.low_middle_high(measured)
        rows.append([name, round(middle), round(low), round(high)])
    report.publish(
        [
            report.Table(
                title=f"Examples/s of {arguments.workers} workers; to make one takes "
                f"{arguments.milliseconds} ms",
                columns=("data", "median", "min", "max"),
                rows=rows,
            )
        ]
    )


def _forms(folder: str, arguments: Arguments, target: str) -> dict[str, Callable[[], Any]]:
    """Return, for each form of data, a function that returns the data of an epoch."""
    files = [f"{folder}/{number}.tfrecord" for number in range(_FILES)]
    for number, file in enumerate(files):
        with tf.io.TFRecordWriter(file) as writer:
            for example in range(number, arguments.examples, _FILES):
                writer.write(str(example))
    seconds = arguments.milliseconds / 1000

    def make(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = tf.reshape(tf.strings.to_number(record), [1]) + _sleep(seconds)
        return example, example

    def batches(paths: Any) -> tf.data.Dataset:
        records = tf.data.TFRecordDataset(paths).shuffle(arguments.examples)
        return records.map(make, num_parallel_calls=tf.data.AUTOTUNE).batch(_BATCH)

    def share(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return batches(files[context.input_pipeline_id :: context.num_input_pipelines])

    def of_service() -> Callable[[tf.distribute.InputContext], tf.data.Dataset]:
        processing = service.ShardingPolicy.DYNAMIC
        distribute = service.distribute(processing, target, job_name=uuid.uuid4().hex)
        return lambda _: batches(tf.data.Dataset.from_tensor_slices(files)).apply(distribute)

    def one(example: int) -> np.ndarray:
        time.sleep(seconds)
        return np.full(1, example, "float32")

    class Examples(keras.utils.PyDataset):
        def __len__(self) -> int:
            return arguments.examples // _BATCH

        def __getitem__(self, index: int) -> Any:
            made = np.stack([one(index * _BATCH + i) for i in range(_BATCH)])
            return made, made

    def generate() -> Iterator[Any]:
        source = Examples()
        yield from (source[index] for index in range(len(source)))

    threads = 4
    return {
        "tf.data.Dataset": lambda: batches(files),
        "data function": lambda: share,
        "tfps.Data, 8 shares": lambda: tfps.Data(share, _FILES),
        "service of tf.data": of_service,
        "generator": generate,
        "PyDataset": Examples,
        f"PyDataset, {threads} threads": lambda: Examples(workers=threads),
    }


def _sleep(seconds: float) -> tf.Tensor:
    """Return 0, after some seconds, in a function of tf.data."""
    variant = tf.raw_ops.SleepDataset(
        input_dataset=tf.data.experimental.to_variant(tf.data.Dataset.range(1)),
        sleep_microseconds=int(seconds * 1e6),
        output_types=[tf.int64],
        output_shapes=[[]],
    )
    slept = tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.int64))
    return tf.cast(slept.get_single_element(), tf.float32)


if __name__ == "__main__":
    main()
