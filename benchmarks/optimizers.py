"""Compares the steps of every Keras optimizer on parameter servers and in plain Keras.

    python -m benchmarks.optimizers

trains one small dense model with each, in plain Keras and on 1 worker and 2 ps inside this process,
on the same batches from the same weights. It prints the largest difference of any step's loss, and
of any weight at the end. Every variable is in two shards; a few optimizers need whole variables.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tyro
from keras import optimizers

import tfps
from benchmarks import launch, report

MOST_APART = 1e-5
BATCH = 16
SEED = 3
NEEDS_WHOLE_VARIABLES = frozenset({"Adafactor", "Lamb", "Muon", "constraint over rows"})

_FixedShards = tf.distribute.experimental.partitioners.FixedShardsPartitioner

MakeOptimizer = Callable[[], optimizers.Optimizer]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Compare the steps of each optimizer with those of plain Keras."""

    only: tuple[str, ...] = ()
    """Names of the cases to compare; all by default."""
    steps: int = 20
    """Steps of each optimizer."""
    all_layouts: bool = False
    """Also run with unsplit variables those that run in two shards."""
    json: Path | None = None
    """A file to write the numbers to."""


def without_bias(optimizer: optimizers.Optimizer) -> optimizers.Optimizer:
    """Exclude the biases from weight decay."""
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def by_layer() -> optimizers.Optimizer:
    """Return one optimizer for the first layer and another for the rest."""
    mapped = optimizers.OptimizerMap(optimizers.SGD(0.1), {"first/.*": optimizers.Adam(0.01)})
    return optimizers.MultiOptimizer(mapped)


CASES: dict[str, MakeOptimizer] = {
    "Adadelta": lambda: optimizers.Adadelta(1.0),
    "Adafactor": lambda: optimizers.Adafactor(0.01),
    "Adagrad": lambda: optimizers.Adagrad(0.1),
    "Adam": lambda: optimizers.Adam(0.01),
    "Adam, amsgrad": lambda: optimizers.Adam(0.01, amsgrad=True),
    "AdamW": lambda: optimizers.AdamW(0.01, weight_decay=0.1),
    "AdamW, biases not decayed": lambda: without_bias(optimizers.AdamW(0.01, weight_decay=0.5)),
    "Adamax": lambda: optimizers.Adamax(0.01),
    "Ftrl": lambda: optimizers.Ftrl(0.1, l1_regularization_strength=0.01),
    "Lamb": lambda: optimizers.Lamb(0.01),
    "Lion": lambda: optimizers.Lion(0.01),
    "LossScaleOptimizer": lambda: optimizers.LossScaleOptimizer(
        optimizers.Adam(0.01), initial_scale=1024.0, dynamic_growth_steps=4
    ),
    "MultiOptimizer": by_layer,
    "Muon": lambda: optimizers.Muon(0.01),
    "Nadam": lambda: optimizers.Nadam(0.01),
    "RMSprop": lambda: optimizers.RMSprop(0.01),
    "RMSprop, centered": lambda: optimizers.RMSprop(0.01, momentum=0.9, centered=True),
    "ScheduleFreeAdamW": lambda: optimizers.ScheduleFreeAdamW(0.01),
    "SGD": lambda: optimizers.SGD(0.1),
    "SGD, momentum": lambda: optimizers.SGD(0.05, momentum=0.9),
    "SGD, Nesterov": lambda: optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "SGD, weight decay": lambda: optimizers.SGD(0.1, weight_decay=0.1),
    "clip by norm": lambda: optimizers.SGD(0.5, clipnorm=0.3),
    "clip by global norm": lambda: optimizers.SGD(0.5, global_clipnorm=0.3),
    "clip by value": lambda: optimizers.Adam(0.01, clipvalue=0.01),
    "fixed loss scale": lambda: optimizers.SGD(0.1, loss_scale_factor=8.0),
    "schedule": lambda: optimizers.Adam(optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)),
    "EMA": lambda: optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9),
    "EMA, overwriting": lambda: optimizers.Adam(
        0.01, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=3
    ),
    "gradient accumulation": lambda: optimizers.Adam(
        0.05, gradient_accumulation_steps=3, global_clipnorm=0.3
    ),
    "constraint over rows": lambda: optimizers.SGD(0.1),
    "constraint by element": lambda: optimizers.SGD(0.1),
}
CONSTRAINTS = {
    "constraint over rows": lambda: keras.constraints.MaxNorm(0.5, axis=0),
    "constraint by element": keras.constraints.NonNeg,
}


def main() -> None:
    """Train, compare and publish."""
    arguments = tyro.cli(Arguments)
    rows = []
    strategies = [
        launch.embedded_strategy(ps=2, workers=1, variable_partitioner=partitioner)
        for partitioner in (None, _FixedShards(2))
    ]
    for name in (name for name in CASES if name in (arguments.only or CASES)):
        split = name not in NEEDS_WHOLE_VARIABLES
        for shards in [1, 2] if arguments.all_layouts and split else [1 + split]:
            found = compare(strategies[shards - 1], name, arguments.steps)
            rows.append([name, shards, *found])
    table = report.Table(
        title=f"{arguments.steps} steps by 1 worker and 2 ps, against plain Keras",
        columns=["optimizer", "shards", "loss apart", "weights apart", "within 1e-5"],
        rows=rows,
    )
    report.publish([table], arguments.json)


def compare(
    strategy: tfps.ParameterServerStrategy, name: str, steps: int
) -> tuple[float, float, bool]:
    """Return the differences of the losses and the weights, and whether they are small."""
    plain = make_model(name)
    with strategy.scope():
        served = make_model(name)
    losses = [np.array(losses_of(model, steps)) for model in (plain, served)]
    loss = float(np.abs(losses[0] - losses[1]).max())
    weights = max(
        float(np.abs(a - b).max())
        for a, b in zip(plain.get_weights(), served.get_weights(), strict=True)
    )
    if len(set(losses[0])) < steps:
        raise RuntimeError(f"{name}: plain Keras took a step that changed nothing.")
    return loss, weights, max(loss, weights) <= MOST_APART


def make_model(name: str) -> keras.Model:
    """Make the compiled model of a case; in a strategy's scope its variables lie on the ps."""
    keras.utils.set_random_seed(SEED)
    constraint = CONSTRAINTS.get(name, lambda: None)
    inputs = keras.Input((6,))
    first = keras.layers.Dense(
        8, "tanh", kernel_regularizer="l2", kernel_constraint=constraint(), name="first"
    )
    hidden = keras.layers.BatchNormalization()(first(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, name="last")(hidden))
    model.compile(CASES[name](), "mse")
    # In plain Keras a fit that builds ScheduleFreeAdamW itself loses the values it begins with.
    model.optimizer.build(model.trainable_variables)
    return model


def losses_of(model: keras.Model, steps: int) -> list[float]:
    """Train on the batches, one step per epoch, and return each step's loss."""
    history = model.fit(batches(steps), epochs=steps, steps_per_epoch=1, verbose=0)
    losses: list[float] = history.history["loss"]
    return losses


@functools.cache
def batches(count: int) -> Any:
    """Return the batches, the same for each case."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(count * BATCH, 6)).astype("float32")
    y = generator.normal(size=(count * BATCH, 2)).astype("float32")
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH)


if __name__ == "__main__":
    main()
