"""Fit a line on the cluster, as a user's program does; the chief of the tests of launching.

`fit.py fail` exits with code 3 instead. `fit.py wait FILE` trains until the file is there.
"""

from __future__ import annotations

import pathlib
import sys

import keras
import numpy as np

import tfps


def train() -> None:
    if "fail" in sys.argv:
        sys.exit(3)
    strategy = tfps.ParameterServerStrategy()
    with strategy.scope():
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.1), "mse")
    x = np.linspace(-1, 1, 64, dtype="float32")[:, None]
    model.fit(x, 3 * x + 1, batch_size=8, epochs=10, verbose=0)
    print("training", flush=True)
    if "wait" in sys.argv:
        while not pathlib.Path(sys.argv[-1]).exists():
            model.fit(x, 3 * x + 1, batch_size=8, verbose=0)
    [kernel, bias] = (float(one.numpy().ravel()[0]) for one in model.trainable_variables)
    print(f"kernel {kernel:.1f} bias {bias:.1f}", flush=True)


if __name__ == "__main__":
    tfps.run(train, chief_timeout_s=60)
