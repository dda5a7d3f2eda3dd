"""Peak memory of each task when a table larger than the chief ever holds is made and trained.

    python -m benchmarks.memory

starts a chief, 1 worker and 2 ps as real processes through `tfps local`, makes a model whose table
takes 3.07 GB (12,000,000 x 64 float32, one shard on each ps), and trains it for some steps with
SGD, which has no slot variables. It prints the peak resident memory (VmHWM) of every task: before
the table is made, after that, and after training.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tyro

import tfps
from benchmarks import launch, report, traffic

LOOKUPS = 64
BATCH = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Show the peak memory of chief, worker and ps around a large table."""

    rows: int = 12_000_000
    """Rows of the table."""
    width: int = 64
    """Numbers in a row."""
    steps: int = 20
    """Steps to train."""
    json: Path | None = None
    """A file to write the numbers to."""


def main() -> None:
    """Measure, on a cluster that this command starts."""
    arguments = tyro.cli(Arguments)
    launch.on_local_cluster(lambda: measure(arguments), "benchmarks.memory", ps=2, workers=1)


def measure(arguments: Arguments) -> None:
    """Make the table on the cluster of TF_CONFIG, train it, and publish the peaks."""
    strategy = tfps.ParameterServerStrategy(variable_partitioner=tfps.AutoPartitioner())
    tasks = task_processes()
    before = peaks(tasks)
    with strategy.scope():
        model = make_model(arguments)
    made = peaks(tasks)
    model.fit(make_data(arguments.rows), steps_per_epoch=arguments.steps, verbose=0)
    trained = peaks(tasks)
    size = 4 * arguments.rows * arguments.width
    held = {f"ps {index}": lying for index, lying in enumerate(strategy.bytes_per_ps)}
    table = report.Table(
        title=f"A table of {arguments.rows:,} x {arguments.width} float32, {size / 1e9:.2f} GB: "
        "peak resident memory, MB",
        columns=["task", "holds", "before", "table made", f"{arguments.steps} steps trained"],
        rows=[
            [task, *(bytes_ / 1e6 for bytes_ in (held.get(task, 0), before[task], made[task],
                                                 trained[task]))]
            for task in tasks
        ],
    )  # fmt: skip
    report.publish([table], arguments.json)


def task_processes() -> dict[str, int]:
    """Return the process of each task of this job, which runs on this machine."""
    config = tfps.TFConfig.from_environment()
    assert config is not None  # Every task of the local cluster has one.
    named = {str(task): address for task, address in config.cluster}
    return dict(zip(named, traffic.listeners(named.values(), traffic.sockets()), strict=True))


def peaks(tasks: Mapping[str, int]) -> dict[str, int]:
    """Return the peak resident memory of each task so far, in bytes."""
    return {task: peak_bytes(Path(f"/proc/{pid}/status")) for task, pid in tasks.items()}


def peak_bytes(status: Path) -> int:
    """Return the peak resident memory that a process's status file gives, in bytes."""
    for line in status.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return 1024 * int(value.split()[0])
    raise LookupError(f"{status} has no line VmHWM. This needs Linux, and a process that lives.")


def make_model(arguments: Arguments) -> Any:
    """Make the compiled model; in a strategy's scope its table lies on the ps."""
    import keras

    model = keras.Sequential(
        [
            keras.Input((LOOKUPS,), dtype="int32"),
            keras.layers.Embedding(arguments.rows, arguments.width),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


def make_data(rows: int) -> Callable[[Any], Any]:
    """Return the function that makes an endless dataset of random ids below `rows`."""

    def dataset(context: Any) -> Any:
        import tensorflow as tf

        def batch(number: Any) -> tuple[Any, Any]:
            seed = tf.stack([tf.cast(context.input_pipeline_id, tf.int64), number])
            ids = tf.random.stateless_uniform([BATCH, LOOKUPS], seed, 0, rows, tf.int32)
            return ids, tf.cast(ids[:, :1] % 2, tf.float32)

        return tf.data.Dataset.counter().map(batch).prefetch(2)

    return dataset


if __name__ == "__main__":
    main()
