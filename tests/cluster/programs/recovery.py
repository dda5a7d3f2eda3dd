"""Train on a chief while the caller kills tasks; print what the caller checks, as JSON lines."""

from __future__ import annotations

import json
import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfps

EXAMPLES = 4000
UPDATES = {
    "default": None,
    "synchronous": tfps.update.Synchronous(),
    "semi-synchronous": tfps.update.SemiSynchronous(),
    "drop": tfps.update.Asynchronous(max_staleness=4),
    "wait": tfps.update.Asynchronous(max_staleness=1, above="wait"),
    "bounded-staleness": tfps.update.BoundedStaleness(3),
    "local": tfps.update.Local(5),
    "local on its own clock": tfps.update.Local(5, update=tfps.update.Asynchronous()),
    "dense and rows": tfps.update.DenseAndRows(),
    "impatient": tfps.update.Synchronous(patience_s=2),
}


class Announce(keras.callbacks.Callback):
    """Tells the caller, once a fit, that training is under way."""

    def on_train_begin(self, logs: Any = None) -> None:
        self._told = False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch >= 50 and not self._told:
            self._told = True
            say(training=True)


def say(**values: Any) -> None:
    """Print one line for the caller."""
    print(json.dumps(values), flush=True)


def train() -> None:
    """Read shuffled data once over two workers, then fit while a task is killed."""
    strategy = tfps.ParameterServerStrategy(update=UPDATES[sys.argv[2]])
    with strategy.scope():
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("adam", "mse", steps_per_execution=5)
    numbers = tf.data.Dataset.range(100).shuffle(100)
    batches = numbers.map(lambda i: tf.cast(i, tf.float32)[None]).batch(7)
    say(distinct=len(np.unique(model.predict(batches, verbose=0))))
    x = np.arange(EXAMPLES, dtype="float32")[:, None] / EXAMPLES
    for _ in range(int(sys.argv[1])):
        before = int(model.optimizer.iterations.numpy())
        model.fit(x, x, batch_size=1, verbose=0, shuffle=False, callbacks=[Announce()])
        iterations = int(model.optimizer.iterations.numpy()) - before
        [updates] = model.history.updates
        say(
            iterations=iterations,
            count=float(model.metrics[0].count.numpy()),
            gradients=int(np.sum(updates.staleness)),
            dropped=int(np.sum(updates.dropped)),
        )


if __name__ == "__main__":
    tfps.run(train)
