"""Fit data of two kinds while the caller kills workers; print what was missed or seen twice."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from counted import counting_model, counts, reset
from recovery import Announce, say

import tfps

EXAMPLES, BATCH_SIZE = 6000, 4


def filtered() -> tf.data.Dataset:
    """Return the examples, of twice as many numbers."""
    numbers = tf.data.Dataset.range(2 * EXAMPLES).shuffle(1000).filter(lambda n: n % 2 == 0)
    columns = numbers.map(lambda n: tf.reshape(tf.cast(n // 2, tf.float32), [1]))
    return columns.map(lambda column: (column, column)).batch(BATCH_SIZE)


def share(context: tf.distribute.InputContext) -> tf.data.Dataset:
    x = np.arange(EXAMPLES, dtype="float32")[:, None]
    pairs = tf.data.Dataset.from_tensor_slices((x, x)).shuffle(EXAMPLES, seed=3)
    return pairs.shard(context.num_input_pipelines, context.input_pipeline_id).batch(BATCH_SIZE)


def train() -> None:
    """Train on each kind of data."""
    strategy = tfps.ParameterServerStrategy()
    with strategy.scope():
        model = counting_model(EXAMPLES, steps_per_execution=5)
    for data in (filtered(), tfps.Data(share, shares=5)):
        reset(model)
        history: keras.callbacks.History = model.fit(data, callbacks=[Announce()], verbose=0)
        times = counts(model)
        say(
            missing=int(np.sum(times == 0)),
            twice=int(np.sum(times) - np.sum(times > 0)),
            in_flight=sum(reading.seen_twice for reading in history.reading) * BATCH_SIZE,
        )


if __name__ == "__main__":
    tfps.run(train)
