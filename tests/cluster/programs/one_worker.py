"""Train one model after the other on 1 worker and 2 ps; print each loss trace beside plain Keras's.

Each line is JSON: {"case": name, "plain": [losses], "tfps": [losses], "weights": difference}.
"""

import json
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfps
from tfps.cluster.embedded import embedded_cluster

OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "sgd": lambda: keras.optimizers.SGD(0.1),
    "momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    "nesterov": lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "amsgrad": lambda: keras.optimizers.Adam(0.01, amsgrad=True),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "adagrad": lambda: keras.optimizers.Adagrad(0.1),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01),
    "centered": lambda: keras.optimizers.RMSprop(0.01, momentum=0.9, centered=True),
    "adadelta": lambda: keras.optimizers.Adadelta(1.0),
    "adamax": lambda: keras.optimizers.Adamax(0.01),
    "ftrl": lambda: keras.optimizers.Ftrl(0.1, l1_regularization_strength=0.01),
    "lion": lambda: keras.optimizers.Lion(0.01),
    "weight_decay": lambda: keras.optimizers.SGD(0.1, weight_decay=0.1),
    "clipnorm": lambda: keras.optimizers.SGD(0.5, clipnorm=0.3),
    "global_clipnorm": lambda: keras.optimizers.SGD(0.5, global_clipnorm=0.3),
    "clipvalue": lambda: keras.optimizers.Adam(0.1, clipvalue=0.01),
    "loss_scale_factor": lambda: keras.optimizers.SGD(0.1, loss_scale_factor=8.0),
    "schedule": lambda: keras.optimizers.Adam(
        keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
    ),
    "excluded": lambda: _without_bias(keras.optimizers.AdamW(0.01, weight_decay=0.5)),
}
SHARDS = 2
GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(80, 6)).astype("float32")
Y = GENERATOR.normal(size=(80, 2)).astype("float32")


def _without_bias(optimizer: Any) -> Any:
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def model(make_optimizer: Callable[[], Any]) -> keras.Model:
    keras.utils.set_random_seed(3)
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(8, "tanh", kernel_regularizer="l2")(inputs)
    made = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.BatchNormalization()(hidden)))
    made.compile(make_optimizer(), "mse")
    return made


def trace(made: keras.Model) -> list[float]:
    """Return the loss of each of 10 steps."""
    losses = []
    for _ in range(2):
        for first in range(0, 80, 16):
            x, y = X[first : first + 16], Y[first : first + 16]
            losses += made.fit(x, y, batch_size=16, shuffle=False, verbose=0).history["loss"]
    return losses


embedded_cluster(num_ps=2, num_workers=1)
partitioner = tf.distribute.experimental.partitioners.FixedShardsPartitioner(SHARDS)
strategy = tfps.ParameterServerStrategy(variable_partitioner=partitioner)
for name, make_optimizer in OPTIMIZERS.items():
    plain = model(make_optimizer)
    with strategy.scope():
        ours = model(make_optimizer)
    traces = {"plain": trace(plain), "tfps": trace(ours)}
    pairs = zip(plain.get_weights(), ours.get_weights(), strict=True)
    difference = max(float(np.max(np.abs(a - b))) for a, b in pairs)
    print(json.dumps({"case": name, **traces, "weights": difference}), flush=True)
