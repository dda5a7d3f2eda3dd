"""Train with a backup after each second batch, and end in the middle of an epoch.

ended.py KIND FOLDER BATCHES
"""

import os
import sys
from typing import Any

import keras
from counted import arguments_of_fit, counting_model

import tfps

EXAMPLES, PASSES = 60, 3

kind, folder, batches = sys.argv[1], sys.argv[2], int(sys.argv[3])


class End(keras.callbacks.Callback):
    """Ends this process, as a crash does, after so many batches."""

    left = batches

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.left -= 1
        if not self.left:
            os._exit(9)


keras.utils.set_random_seed(1)  # Shuffles go on in the same order only from the same seeds.
strategy = tfps.ParameterServerStrategy()
with strategy.scope():
    model = counting_model(EXAMPLES)
backup = keras.callbacks.BackupAndRestore(folder, save_freq=2)
arguments = arguments_of_fit(kind, EXAMPLES, PASSES)
model.fit(**arguments, callbacks=[backup, End()], verbose=0)
