"""Read on 3 ps, in 3 shards, what another cluster saved; print how far the state is from it."""

import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

import tfps
from tfps.cluster.embedded import embedded_cluster

folder = pathlib.Path(sys.argv[1])
embedded_cluster(num_ps=3, num_workers=1)
partitioner = tf.distribute.experimental.partitioners.FixedShardsPartitioner(3)
strategy = tfps.ParameterServerStrategy(variable_partitioner=partitioner)


def state(model: keras.Model) -> list[np.ndarray]:
    return [v.numpy() for v in [*model.variables, *model.optimizer.variables]]


with strategy.scope():
    whole = keras.models.load_model(folder / "m.keras")
    from_weights, from_checkpoint = (keras.models.clone_model(whole) for _ in range(2))
    for model in (from_weights, from_checkpoint):
        model.compile(keras.optimizers.Adam(0.01), "mse")
        model.optimizer.build(model.trainable_variables)
from_weights.load_weights(folder / "m.weights.h5")
checkpoint = tf.train.Checkpoint(model=from_checkpoint, optimizer=from_checkpoint.optimizer)
checkpoint.restore(tf.train.latest_checkpoint(folder)).assert_existing_objects_matched()
saved = np.load(folder / "state.npz")
for model in (whole, from_weights, from_checkpoint):
    found = state(model)
    assert len(found) == len(saved.files)
    apart = max(np.abs(a - saved[f"arr_{i}"]).max() for i, a in enumerate(found))
    print(apart, len(strategy.bytes_per_ps), flush=True)
x = np.arange(24).reshape(6, 4) % 20
whole.fit(x, np.ones((6, 1)), verbose=0)
whole.save_weights(folder / "back.weights.h5")
np.savez(folder / "back.npz", *state(whole))
