"""Updates that are found of those that were pushed, with many workers at the same time.

    python -m benchmarks.lost_updates

starts a local cluster of real processes: 8 workers of one thread each, 2 ps. Each step has a
gradient of 1 for two rows of a table and for dense variables of several sizes. So all numbers of a
variable, and of a slot variable, go the way of one number. That way is computed in plain Keras, and
a number is looked up in it: it shows after how many updates it is reached.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tyro
from keras import optimizers

import tfps
from benchmarks import launch, report

_SIZES = (4, 6_400, 200_000)
_ROWS = 50
_OPTIMIZERS: dict[str, Callable[[], optimizers.Optimizer]] = {
    "SGD": lambda: optimizers.SGD(0.01),
    "SGD, momentum": lambda: optimizers.SGD(0.01, momentum=0.99),
    "RMSprop": lambda: optimizers.RMSprop(0.001, rho=0.99, momentum=0.9),
    "Lion": lambda: optimizers.Lion(0.001, beta_2=0.995),
    "Adagrad": lambda: optimizers.Adagrad(0.01),
    "Adadelta": lambda: optimizers.Adadelta(0.1, rho=0.99),
    "Adam": lambda: optimizers.Adam(0.001, beta_1=0.99),
    "Adamax": lambda: optimizers.Adamax(0.001, beta_1=0.99),
    "Nadam": lambda: optimizers.Nadam(0.001, beta_1=0.99),
    "Ftrl": lambda: optimizers.Ftrl(0.01),
    "AdamW, schedule": lambda: optimizers.AdamW(
        optimizers.schedules.ExponentialDecay(0.01, 100, 0.9), beta_1=0.99
    ),
    "of one's own": lambda: Counting(0.01),
}


class Counting(optimizers.Optimizer):
    """Counts updates in a slot variable, and subtracts the count."""

    def build(self, variables: Any) -> None:
        """Make the counts."""
        if not self.built:
            super().build(variables)
            self.counts = [self.add_variable_from_reference(v, "count") for v in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Add the gradient to the count, and subtract that from the variable."""
        count = self.counts[self._get_variable_index(variable)]
        self.assign(count, count + gradient)
        self.assign(variable, variable - count * keras.ops.cast(learning_rate, variable.dtype))


class Sum(keras.Model):
    """The sum of two rows of a table, and of dense variables."""

    def __init__(self) -> None:
        super().__init__()
        self.table = keras.layers.Embedding(_ROWS, 8, embeddings_initializer="ones")
        self.table.build()
        self.dense = [self.add_weight(shape=(n,), initializer="ones", name=f"d{n}") for n in _SIZES]
        self.built = True

    def call(self, ids: Any) -> Any:
        """Return the sum, of shape `(1, 1)`."""
        total = keras.ops.sum(self.table(ids)) + sum(keras.ops.sum(v) for v in self.dense)
        return keras.ops.reshape(total, (1, 1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Count lost updates on a local cluster of real processes."""

    workers: int = 8
    """Workers, of one thread each."""
    steps: int = 400
    """Updates of each optimizer, by all workers together."""
    steps_per_execution: int = 25
    """Steps per dispatch."""


def main() -> None:
    """Count; as a task of a cluster, do that task's part."""
    arguments = tyro.cli(Arguments)

    def measure() -> None:
        partitioner = tf.distribute.experimental.partitioners.FixedShardsPartitioner(2)
        strategy = tfps.ParameterServerStrategy(variable_partitioner=partitioner)
        rows = [[name, *_found(make, strategy, arguments)] for name, make in _OPTIMIZERS.items()]
        table = report.Table(
            title=f"Updates found of {arguments.steps} that {arguments.workers} workers pushed",
            columns=("optimizer", *(f"dense, {n:,}" for n in _SIZES), "rows", "iterations"),
            rows=rows,
        )
        report.publish([table])

    launch.on_local_cluster(measure, "benchmarks.lost_updates", ps=2, workers=arguments.workers)


def _found(
    make: Callable[[], optimizers.Optimizer],
    strategy: tfps.ParameterServerStrategy,
    arguments: Arguments,
) -> list[report.Cell]:
    with strategy.scope():
        model = Sum()
        model.compile(
            make(),
            lambda _, y: keras.ops.mean(y),
            steps_per_execution=arguments.steps_per_execution,
        )
        model.optimizer.build(model.trainable_variables)
    batch = np.array([[3, _ROWS - 2]]), np.zeros((1, 1), "float32")
    data = tf.data.Dataset.from_tensors(batch).repeat()
    model.fit(data, steps_per_epoch=arguments.steps, verbose=0)
    ways = _ways(make(), arguments.steps + 8)
    slots = len(ways) - 1
    found: list[report.Cell] = []
    for variable in [*model.dense, model.table.embeddings]:
        own = [
            v
            for v in model.optimizer.variables
            if v.path.rpartition("/")[2].startswith(variable.path.replace("/", "_"))
        ]
        values = [np.asarray(v) for v in (variable, *own[:slots])]
        touched = [v[[3, _ROWS - 2]] if v.shape == (_ROWS, 8) else v for v in values]
        found.append(min(_lookup(w, v) for w, v in zip(ways, touched, strict=True)))
    return [*found, int(model.optimizer.iterations)]


def _ways(optimizer: optimizers.Optimizer, steps: int) -> list[np.ndarray]:
    """Return, for a variable and its slots, the values after 0, 1, ... updates in plain Keras."""
    variable = keras.Variable(np.ones((1,)), name="v", dtype="float32")
    optimizer.build([variable])
    followed = [variable, *(v for v in optimizer.variables if tuple(v.shape) == (1,))]
    ways = [[float(v.numpy()[0]) for v in followed]]
    for _ in range(steps):
        optimizer.apply([tf.ones((1,))], [variable])
        ways.append([float(v.numpy()[0]) for v in followed])
    return [np.array(way) for way in zip(*ways, strict=True)]


def _lookup(way: np.ndarray, values: np.ndarray) -> int:
    """Return the number of updates after which a value is reached, the least of all values.

    A slot that stands still, such as Adamax's greatest gradient, tells nothing: the most counts.
    """
    distances = np.abs(way[None] - np.ravel(values)[:, None])
    return int(np.min(len(way) - 1 - np.argmin(distances[:, ::-1], axis=1)))


if __name__ == "__main__":
    main()
