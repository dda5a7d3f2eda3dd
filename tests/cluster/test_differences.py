"""Where tfps means to differ from Keras in one process: the table in docs/keras-contract.md."""

from __future__ import annotations

import contextlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.cluster.conftest import MakeStrategy

pytestmark = pytest.mark.timeout(90)


class SumOfRows(keras.Model):
    """Its loss is the sum of the rows that are looked up: the gradient of each lookup is 1."""

    def __init__(self, *, dense: bool) -> None:
        super().__init__()
        self.is_dense = dense
        self.table = keras.layers.Embedding(4, 1, embeddings_initializer="zeros")
        self.table.build()
        self.built = True

    def call(self, ids: Any) -> Any:
        if self.is_dense:
            return keras.ops.one_hot(ids, 4) @ self.table.embeddings
        return self.table(ids)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
        training: bool = True,
    ) -> Any:  # fmt: skip
        return keras.ops.sum(y_pred)


def trained(
    scope: Any, optimizer: keras.optimizers.Optimizer, *, dense: bool = False
) -> list[float]:
    """Return the rows after a batch that has one id three times."""
    ids = tf.data.Dataset.from_tensors(np.array([1, 1, 1]))
    with scope:
        model = SumOfRows(dense=dense)
        model.compile(type(optimizer).from_config(optimizer.get_config()))
    model.fit(ids, verbose=0)
    return [round(float(row), 3) for row in np.ravel(model.table.embeddings.numpy())]


def test_the_gradients_of_a_repeated_id_are_added_before_anything_else(
    make_strategy: MakeStrategy,
) -> None:
    plain = contextlib.nullcontext()
    adagrad = keras.optimizers.Adagrad(1.0, initial_accumulator_value=0.0)
    clipped = keras.optimizers.SGD(1.0, clipvalue=1.0)
    for optimizer in (adagrad, clipped):
        ours = trained(make_strategy(2).scope(), optimizer)
        # One gradient of 3, as where gradients are dense: 3 / sqrt(3 ** 2), and 3 clipped to 1.
        assert ours == trained(plain, optimizer, dense=True) == [0.0, -1.0, 0.0, 0.0]
    assert trained(plain, clipped) == [0.0, -3.0, 0.0, 0.0]  # it clips three gradients of 1


def test_an_epoch_has_the_steps_that_were_asked_for(make_strategy: MakeStrategy) -> None:
    def steps(scope: Any) -> int:
        with scope:
            model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
            model.compile("sgd", "mse", steps_per_execution=3)
        ones = tf.data.Dataset.from_tensors((np.ones((1, 1)), np.ones((1, 1)))).repeat()
        model.fit(ones, steps_per_epoch=4, verbose=0)
        return int(model.optimizer.iterations)

    # Plain Keras runs whole executions.
    assert (steps(make_strategy().scope()), steps(contextlib.nullcontext())) == (4, 6)
