"""run_eagerly: Keras's own steps, on the chief, and the ps have what they did."""

from __future__ import annotations

import contextlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.cluster.conftest import MakeStrategy

pytestmark = pytest.mark.timeout(120)

X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
Y = X.sum(1, keepdims=True)


class Lazy(keras.Model):
    """A model that creates its variables when it is first called, and looks into its steps."""

    def __init__(self) -> None:
        super().__init__()
        self.table = keras.layers.Embedding(6, 3)
        self.normalize = keras.layers.BatchNormalization()
        self.drop = keras.layers.Dropout(0.3, seed=1)
        self.dense = keras.layers.Dense(1)
        self.seen: list[float] = []

    def call(self, x: Any, training: bool = False) -> Any:
        ids = keras.ops.cast(keras.ops.abs(x), "int32")
        rows = keras.ops.sum(self.table(ids), 1)
        return self.dense(self.drop(self.normalize(rows, training=training), training=training))

    def train_step(self, data: Any) -> Any:
        logs = super().train_step(data)
        self.seen.append(float(logs["loss"].numpy()))
        return logs


def train(scope: Any, *, fit_in_scope: bool) -> tuple[list[float], list[np.ndarray]]:
    keras.utils.set_random_seed(0)
    numbers: list[float] = []

    class Looks(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 1:
                numbers.append(self.model.evaluate(X, Y, verbose=0))
                numbers.append(float(self.model.predict(X, verbose=0).sum()))

    def fit(model: keras.Model) -> None:
        data = {"validation_data": (X, Y), "batch_size": 8, "verbose": 0}
        history = model.fit(X, Y, epochs=2, shuffle=False, callbacks=[Looks()], **data)
        numbers.extend([*history.history["loss"], *history.history["val_loss"], *model.seen])

    with scope:
        model = Lazy()
        model.compile(keras.optimizers.Adam(global_clipnorm=1.0), "mse", run_eagerly=True)
        if fit_in_scope:
            fit(model)
    if not fit_in_scope:
        fit(model)
    numbers.extend([model.train_on_batch(X, Y), float(model.predict_on_batch(X).sum())])
    return numbers, [*model.get_weights(), *(v.numpy() for v in model.optimizer.variables)]


@pytest.mark.parametrize("fit_in_scope", [pytest.param(False, marks=pytest.mark.slow), True])
def test_eager_steps_are_those_of_plain_keras_and_end_on_the_ps(
    make_strategy: MakeStrategy, fit_in_scope: bool
) -> None:
    expected, expected_values = train(contextlib.nullcontext(), fit_in_scope=fit_in_scope)
    strategy = make_strategy(2)
    with pytest.warns(UserWarning, match=r"runs eagerly: its steps run on the chief"):
        numbers, values = train(strategy.scope(), fit_in_scope=fit_in_scope)
    assert numbers == expected
    for value, other in zip(values, expected_values, strict=True):
        np.testing.assert_array_equal(value, other)


def test_an_eager_model_goes_on_on_the_workers(make_strategy: MakeStrategy) -> None:
    with make_strategy(2).scope():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.01), "mse", run_eagerly=True)
    start = model.evaluate(X, Y, verbose=0)
    model.fit(lambda _: tf.data.Dataset.from_tensors((X, Y)), verbose=0)
    assert isinstance(model.layers[0].kernel.value, tf.__internal__.distribute.ShardedVariable)
    model.run_eagerly = False
    model.fit(X, Y, verbose=0)
    assert model.evaluate(X, Y, verbose=0) < start
    assert int(model.optimizer.iterations.numpy()) == 2
    tf.config.run_functions_eagerly(True)
    try:
        with pytest.warns(UserWarning, match=r"runs eagerly"):
            model.fit(X, Y, verbose=0)
    finally:
        tf.config.run_functions_eagerly(False)
    assert int(model.optimizer.iterations.numpy()) == 3
