"""One table in three layouts: the same losses, and the time of a step that looks up many rows.

    python -m benchmarks.layouts

makes the same model three times on a cluster inside this process (3 ps, 1 worker): with its table
of 400,000 x 64 float32 whole, in 2 shards and in 3. A step looks up 1,000 ids for 40 columns,
and updates the rows with Adagrad. It prints the largest difference of the losses of the first steps
from those of the first layout, and the time of a step; the layouts take turns, round by round.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
import tyro

from benchmarks import launch, report

ROWS = 400_000
WIDTH = 64
LOOKUPS = 40
IDS = 1000
SEED = 20
_FixedShards = tf.distribute.experimental.partitioners.FixedShardsPartitioner
LAYOUTS: Mapping[str, Callable[..., Any] | None] = {
    "no partitioner": None,
    "2 shards": _FixedShards(2),
    "3 shards": _FixedShards(3),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Compare three layouts of one table: losses, and the time of a step."""

    compared_steps: int = 20
    """Steps whose losses are compared, before the time is taken."""
    rounds: int = 7
    """Rounds in which the layouts take turns."""
    steps: int = 10
    """Steps of a layout in a round."""
    json: Path | None = None
    """A file to write the numbers to."""


def main() -> None:
    """Measure and publish."""
    arguments = tyro.cli(Arguments)
    loops = {name: make_loop(partitioner) for name, partitioner in LAYOUTS.items()}
    traces = {name: trace(loop, arguments.compared_steps) for name, loop in loops.items()}
    times = step_times(loops, arguments.rounds, arguments.steps)
    table = report.Table(
        title=f"{ROWS:,} x {WIDTH} float32, {LOOKUPS} lookups of {IDS:,} ids, Adagrad",
        columns=["layout", "first loss", "last loss", "difference", "ms/step min", "median", "max"],
        rows=[
            [
                name,
                losses[0],
                losses[-1],
                _largest_difference(losses, traces["no partitioner"]),
                *report.low_middle_high(times[name]),
            ]
            for name, losses in traces.items()
        ],
        note=f"Losses of the first {arguments.compared_steps} steps; difference: the largest of a "
        f"step from the first layout's. Times: {arguments.rounds} rounds of {arguments.steps} "
        "steps, one step per dispatch.",
    )
    report.publish([table], arguments.json)


def make_loop(partitioner: Callable[..., Any] | None) -> Any:
    """Return a training loop of a new model, from the same seed whatever its layout."""
    keras.utils.set_random_seed(SEED)
    strategy = launch.embedded_strategy(
        ps=3, workers=1, variable_partitioner=_for_tables(partitioner)
    )
    with strategy.scope():
        model, optimizer = make_model(), keras.optimizers.Adagrad(0.1)

    def step(model: keras.Model, batch: Any) -> tf.Tensor:
        ids, targets = batch
        return tf.reduce_mean(tf.square(model(ids) - targets))

    return strategy.loop(step, model=model, optimizer=optimizer, data=random_batches)


def make_model() -> keras.Model:
    """Make a model of `(batch, LOOKUPS)` ids that looks up each column by itself in one table."""
    ids = keras.Input((LOOKUPS,), dtype="int32")
    table = keras.layers.Embedding(ROWS, WIDTH)
    columns = [table(ids[:, column]) for column in range(LOOKUPS)]
    return keras.Model(ids, keras.layers.Dense(1)(keras.layers.Concatenate()(columns)))


def random_batches(context: tf.distribute.InputContext) -> tf.data.Dataset:
    """Make an endless dataset of `(IDS, LOOKUPS)` int32 ids and `(IDS, 1)` float32 targets."""
    del context  # There is one worker.

    def batch(number: tf.Tensor) -> tuple[Any, Any]:
        seed = tf.stack([tf.constant(SEED, tf.int64), number])
        ids = tf.random.stateless_uniform([IDS, LOOKUPS], seed, 0, ROWS, tf.int32)
        return ids, tf.cast(ids[:, :1] % 2, tf.float32)

    return tf.data.Dataset.counter().map(batch).prefetch(4)


def trace(loop: Any, steps: int) -> list[float]:
    """Return the loss of each of the next steps."""
    return [loop.run(1)["loss"] for _ in range(steps)]


def step_times(loops: Mapping[str, Any], rounds: int, steps: int) -> dict[str, list[float]]:
    """Return for each loop the milliseconds of a step, one mean per round; the loops take turns."""
    times: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(rounds):
        for name, loop in loops.items():
            started = time.perf_counter()
            loop.run(steps)
            times[name].append(1000 * (time.perf_counter() - started) / steps)
    return times


def _for_tables(partitioner: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """Leave whole what has fewer rows than the table, so that only its layout differs."""
    if partitioner is None:
        return None

    def partitions(shape: Any, dtype: Any, axis: int = 0) -> list[int]:
        if int(shape[0]) == ROWS:
            return list(partitioner(shape, dtype, axis))
        return [1] * len(shape)

    return partitions


def _largest_difference(losses: list[float], reference: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(losses, reference, strict=True))


if __name__ == "__main__":
    main()
