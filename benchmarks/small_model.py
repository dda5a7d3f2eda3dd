"""Train one small text classifier, in plain Keras or on an embedded cluster, and print its losses.

    python -m benchmarks.small_model --workers 2 --ps 2

`benchmarks.agreement` runs it once for each case. The text is synthetic: tokens are drawn by Zipf's
law, each carries a hidden weight, and a text's class is drawn with the probability that the mean
weight of its tokens gives. So there is much to learn, and a loss that no model gets below. Standard
output is one JSON object: `losses`, the mean training loss of each epoch, and `held_out_loss`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import Any, Literal

import keras
import numpy as np
import tyro

from benchmarks import launch

VOCABULARY = 2000
SEQUENCE = 32
WIDTH = 32
BATCH = 32
HELD_OUT = 16_384
SEED = 5

Arrays = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Train the small text classifier once, and print its losses as JSON."""

    workers: int = 0
    """Workers of the embedded cluster; 0 trains in plain Keras, without a strategy."""
    ps: int = 1
    """Parameter servers of the embedded cluster."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """Adam with a learning rate of 0.001, or SGD with one of 2."""
    steps: int = 3000
    """Steps of an epoch, over all workers."""
    epochs: int = 1
    """Epochs; with one step each, the losses are those of single steps."""
    steps_per_execution: int = 20
    """Steps per dispatch."""


def main() -> None:
    """Train and print."""
    arguments = tyro.cli(Arguments)
    keras.utils.set_random_seed(SEED)
    with _scope(arguments):
        model = make_model(arguments)
    total = arguments.steps * arguments.epochs * BATCH
    x, y = make_texts(total + HELD_OUT)
    history = model.fit(
        _batches(x[:total], y[:total]),
        epochs=arguments.epochs,
        steps_per_epoch=arguments.steps,
        verbose=0,
    )
    held_out = model.evaluate(x[total:], y[total:], batch_size=256, verbose=0)
    found = {"losses": history.history["loss"], "held_out_loss": float(held_out)}
    print(json.dumps(found))


def make_model(arguments: Arguments) -> keras.Model:
    """Make the compiled classifier; in a strategy's scope its variables lie on the ps."""
    model = keras.Sequential(
        [
            keras.Input((SEQUENCE,), dtype="int32"),
            keras.layers.Embedding(VOCABULARY, WIDTH),
            keras.layers.GlobalAveragePooling1D(),
            # Smooth: at a ReLU's kink rounding alone (1e-7) picks another gradient, and two traces
            # that are equal up to there part for good.
            keras.layers.Dense(WIDTH, activation="gelu"),
            keras.layers.Dense(1),
        ]
    )
    sgd = arguments.optimizer == "sgd"
    model.compile(
        keras.optimizers.SGD(2.0) if sgd else keras.optimizers.Adam(1e-3),
        keras.losses.BinaryCrossentropy(from_logits=True),
        steps_per_execution=arguments.steps_per_execution,
    )
    return model


def make_texts(count: int) -> Arrays:
    """Return tokens, `(count, SEQUENCE)` int32, and classes, `(count, 1)` float32."""
    random = np.random.default_rng(SEED)
    ranks = np.exp(random.random((count, SEQUENCE)) * np.log(VOCABULARY + 1)).astype(np.int32) - 1
    tokens = np.minimum(ranks, VOCABULARY - 1)
    weights = random.normal(size=VOCABULARY)
    logits = 2 * np.sqrt(SEQUENCE) * weights[tokens].mean(axis=1, keepdims=True)
    classes = random.random((count, 1)) < 1 / (1 + np.exp(-logits))
    return tokens, classes.astype(np.float32)


def _scope(arguments: Arguments) -> contextlib.AbstractContextManager[Any]:
    if not arguments.workers:
        return contextlib.nullcontext()
    strategy = launch.embedded_strategy(ps=arguments.ps, workers=arguments.workers)
    scope: contextlib.AbstractContextManager[Any] = strategy.scope()
    return scope


def _batches(x: np.ndarray, y: np.ndarray) -> Any:
    """Return batches that go on over epochs, in the order of the arrays: each example once."""
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH, drop_remainder=True)


if __name__ == "__main__":
    main()
