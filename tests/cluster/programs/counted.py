"""A model whose weights say how often it was trained on each example, and data for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfps


class _Sum(keras.losses.Loss):
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return keras.ops.sum(y_pred, axis=-1)


def counting_model(examples: int, steps_per_execution: int = 1) -> keras.Model:
    """Return the model, compiled. It takes batches `[None, 1]` of numbers below `examples`."""
    table = keras.layers.Embedding(examples, 1, embeddings_initializer="zeros")
    model = keras.Sequential([keras.Input((1,)), table, keras.layers.Flatten()])
    model.compile(
        keras.optimizers.SGD(1.0), _Sum(reduction="sum"), steps_per_execution=steps_per_execution
    )
    return model


def counts(model: keras.Model) -> np.ndarray:
    """Return how often each example was trained on."""
    return (-np.rint(model.layers[0].get_weights()[0][:, 0])).astype(int)


def reset(model: keras.Model) -> None:
    """Have nothing counted."""
    table = model.layers[0]
    table.set_weights([np.zeros_like(weights) for weights in table.get_weights()])


BATCH_SIZE = 4


class _Sequence(keras.utils.PyDataset):
    def __init__(self, x: np.ndarray) -> None:
        super().__init__()
        self._x = x

    def __len__(self) -> int:
        return len(self._x) // BATCH_SIZE

    def __getitem__(self, index: int) -> Any:
        x = self._x[BATCH_SIZE * index : BATCH_SIZE * (index + 1)]
        return x, x


def arguments_of_fit(kind: str, examples: int, passes: int) -> dict[str, Any]:
    """Return arguments of fit for `passes` passes over numbers below `examples`.

    Shuffles draw the same orders in each process only if it has set the same global seed.
    """
    x = np.arange(examples, dtype="float32")[:, None]
    pairs = tf.data.Dataset.from_tensor_slices(x).map(lambda number: (number, number))
    shuffled = pairs.shuffle(examples).batch(BATCH_SIZE)
    steps = examples // BATCH_SIZE

    def share(context: tf.distribute.InputContext) -> tf.data.Dataset:
        all_pairs = tf.data.Dataset.from_tensor_slices((x, x)).shuffle(examples, seed=5)
        share = all_pairs.shard(context.num_input_pipelines, context.input_pipeline_id)
        return share.batch(BATCH_SIZE)

    def batches() -> Iterator[Any]:
        for _ in range(passes):
            for part in np.split(x, steps):
                yield part, part

    arguments: dict[str, dict[str, Any]] = {
        "dataset": {"x": shuffled},
        "thirds": {"x": shuffled, "steps_per_epoch": steps // 3, "epochs": 3 * passes},
        "repeated": {"x": pairs.repeat(passes).batch(BATCH_SIZE), "steps_per_epoch": steps},
        "endless": {"x": pairs.repeat().batch(BATCH_SIZE), "steps_per_epoch": steps},
        "arrays": {"x": x, "y": x, "batch_size": BATCH_SIZE},
        "generator": {"x": batches(), "steps_per_epoch": steps},
        "pydataset": {"x": _Sequence(x)},
        "function": {"x": share},
        "shares": {"x": tfps.Data(share, shares=5)},
    }
    return {"epochs": passes, **arguments[kind]}
