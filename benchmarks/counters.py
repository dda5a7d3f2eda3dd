"""Counters after 1,000 steps on 4 workers: nothing may be lost or counted twice.

    python -m benchmarks.counters

starts a chief, 4 workers and 2 ps as real processes through `tfps local`, and trains a small model
with `model.fit`. It prints `optimizer.iterations` beside the steps, and the count of the loss,
which Keras weighs by examples, beside the examples: with one step per dispatch, and with ten.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro

import tfps
from benchmarks import launch, report

PS = 2
WORKERS = 4
BATCH = 8
FEATURES = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Count the steps and the examples of a fit on 4 workers."""

    steps: int = 1000
    """Steps to train, over all workers."""
    steps_per_execution: tuple[int, ...] = (1, 10)
    """Steps per dispatch, one fit for each."""
    json: Path | None = None
    """A file to write the numbers to."""


def main() -> None:
    """Count, on a cluster that this command starts."""
    arguments = tyro.cli(Arguments)
    launch.on_local_cluster(
        lambda: measure(arguments), "benchmarks.counters", ps=PS, workers=WORKERS
    )


def measure(arguments: Arguments) -> None:
    """Train on the cluster of TF_CONFIG, compare and publish."""
    table = report.Table(
        title=f"{arguments.steps:,} steps of {BATCH} examples on {WORKERS} workers and {PS} ps",
        columns=[
            "steps per dispatch",
            "iterations",
            "steps",
            "loss count",
            "examples",
            "exact",
        ],
        rows=[count(arguments.steps, together) for together in arguments.steps_per_execution],
    )
    report.publish([table], arguments.json)


def count(steps: int, steps_per_execution: int) -> Sequence[report.Cell]:
    """Train a new model for `steps` steps; return a row of what was counted and expected."""
    import keras

    strategy = tfps.ParameterServerStrategy()
    with strategy.scope():
        model = keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(1)])
        model.compile("adam", "mse", steps_per_execution=steps_per_execution)
    model.fit(random_batches, steps_per_epoch=steps, verbose=0)
    iterations = int(model.optimizer.iterations.numpy())
    (loss,) = model.metrics
    examples = int(loss.count.numpy())
    exact = iterations == steps and examples == steps * BATCH
    return [steps_per_execution, iterations, steps, examples, steps * BATCH, exact]


def random_batches(context: Any) -> Any:
    """Make the endless dataset of one worker: `(BATCH, FEATURES)` float32, and targets."""
    import tensorflow as tf

    def batch(number: Any) -> tuple[Any, Any]:
        seed = tf.stack([tf.cast(context.input_pipeline_id, tf.int64), number])
        x = tf.random.stateless_normal([BATCH, FEATURES], seed)
        return x, tf.reduce_sum(x, axis=1, keepdims=True)

    return tf.data.Dataset.counter().map(batch).prefetch(4)


if __name__ == "__main__":
    main()
