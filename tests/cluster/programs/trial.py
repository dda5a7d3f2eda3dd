"""Fit a line with an argument of a search, and report how well; every task of a trial runs it."""

from __future__ import annotations

import argparse
import os

import keras
import numpy as np

import tfps

parser = argparse.ArgumentParser()
parser.add_argument("--learning_rate", type=float, required=True)
settings = parser.parse_args()


def train() -> None:
    strategy = tfps.ParameterServerStrategy()
    with strategy.scope():
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(settings.learning_rate), "mse")
    x = np.linspace(-1, 1, 64, dtype="float32")[:, None]
    y = 3 * x + 1
    report = tfps.ReportMetric("val_loss")
    model.fit(x, y, batch_size=8, epochs=3, validation_data=(x, y), callbacks=[report], verbose=0)
    print(os.environ["TFPS_CHECKPOINT_DIR"], flush=True)


tfps.run(train, chief_timeout_s=60)
