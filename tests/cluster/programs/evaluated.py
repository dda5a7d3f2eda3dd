"""Train in two shards and save each of two epochs, or evaluate what is saved.

evaluated.py FOLDER FIRST_EPOCH [fail]
"""

import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

import tfps

folder, first_epoch = pathlib.Path(sys.argv[1]), int(sys.argv[2])
X = np.arange(64, dtype="float32").reshape(16, 4) / 64
Y = X.sum(axis=1, keepdims=True)


def make() -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    return model


def train() -> None:
    shards = tf.distribute.experimental.partitioners.FixedShardsPartitioner(2)
    strategy = tfps.ParameterServerStrategy(variable_partitioner=shards)
    with strategy.scope():
        model = make()
    file = folder / "checkpoints" / "epoch-{epoch}.weights.h5"
    history = model.fit(
        *(X, Y),
        batch_size=8,
        initial_epoch=first_epoch,
        epochs=first_epoch + 2,
        validation_data=(X, Y),
        callbacks=[keras.callbacks.ModelCheckpoint(file, save_weights_only=True)],
        verbose=0,
    )
    print(*history.history["val_loss"], flush=True)
    if "fail" in sys.argv:
        raise RuntimeError("the training failed")


def evaluate() -> tfps.SidecarEvaluator:
    return tfps.SidecarEvaluator(
        make(),
        (X, Y),
        folder / "checkpoints",
        log_dir=folder / "logs",
        keep_best=folder / "best.weights.h5",
        poll_s=0.5,
    )


tfps.run(train, evaluate, chief_timeout_s=60)
