"""Use what was made before the strategy, which connects the process to its cluster."""

import keras
import numpy as np
import tensorflow as tf

import tfps

x = np.ones((8, 4), "float32")
plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, kernel_initializer="ones")])
plain.compile("sgd", "mse")
lookup = keras.layers.StringLookup(vocabulary=["a", "b"])
table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
table.insert(["key"], [7])
variable, generator = tf.Variable("text"), keras.random.SeedGenerator(1)
dataset = tf.data.Dataset.from_tensor_slices((x, x[:, :1])).batch(4)
iterator = iter(dataset)
optimizer = keras.optimizers.Adam(0.5)
plain.fit(dataset, verbose=0)
before = plain.predict(x, verbose=0)


@tf.function
def kernel() -> tf.Tensor:
    return tf.convert_to_tensor(plain.layers[0].kernel)


kernel()

strategy = tfps.ParameterServerStrategy()
with strategy.scope():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
model.fit(dataset, verbose=0)
assert (plain.predict(x, verbose=0) == before).all()
plain.fit(x, x[:, :1], verbose=0)
assert (kernel().numpy() == plain.layers[0].kernel.numpy()).all()
plain.optimizer.apply_gradients([(keras.ops.ones((4, 1)), plain.layers[0].kernel)])
print(plain(x[:1]).shape, keras.random.normal((1,), seed=generator).shape)
print(lookup(["a"]).numpy(), table.lookup(tf.constant(["key"])).numpy(), variable.numpy())
print(float(optimizer.learning_rate), int(optimizer.iterations))
for read in (lambda: next(iter(dataset)), lambda: next(iterator)):
    try:
        read()
    except RuntimeError as error:
        print(error, flush=True)
