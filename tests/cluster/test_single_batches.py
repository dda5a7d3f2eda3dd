"""train_on_batch, test_on_batch, predict_on_batch: one batch on one worker, as in plain Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import tfps
from tests.cluster.conftest import MakeStrategy

pytestmark = pytest.mark.timeout(120)

X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
Y = X.sum(1, keepdims=True)
SIZES = (16, 5, 8)


def make_model() -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    return model


def calls(model: keras.Model) -> list[Any]:
    weights, labels = np.linspace(0, 1, 5), (Y > 0).astype("int32")
    return [
        *(model.train_on_batch(X[:size], Y[:size]) for size in SIZES),
        model.train_on_batch(X[:5], Y[:5], sample_weight=weights),
        model.train_on_batch(X, labels, class_weight={0: 0.5, 1: 2}, return_dict=True),
        model.test_on_batch(X[:7], Y[:7]),
        model.predict_on_batch(X[:3]).tolist(),
    ]


def flat(values: list[Any]) -> list[float]:
    return list(keras.tree.flatten(values))


def test_single_batches_give_the_numbers_of_plain_keras(make_strategy: MakeStrategy) -> None:
    keras.utils.set_random_seed(0)
    expected = calls(make_model())
    keras.utils.set_random_seed(0)
    with make_strategy(2).scope():
        model = make_model()
    np.testing.assert_allclose(flat(calls(model)), flat(expected), rtol=1e-5)
    # Batches of all sizes share a program; those with weights, or other types, have one each.
    assert len(model.train_function.by_spec) == 3
    assert len(model.predict_function.by_spec) == 1
    model.train_on_batch(X[:2], Y[:2])
    assert len(model.train_function.by_spec) == 3
    assert int(model.optimizer.iterations.numpy()) == len(SIZES) + 3


@pytest.mark.parametrize(
    "update",
    [tfps.update.Synchronous(), tfps.update.BoundedStaleness(1), tfps.update.Local(4)],
    ids=lambda update: type(update).__name__,
)
def test_no_other_worker_is_waited_for(make_strategy: MakeStrategy, update: Any) -> None:
    with make_strategy(update=update).scope():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.1), "mse")
    losses = [model.train_on_batch(X, Y) for _ in range(3)]
    assert losses[0] > losses[1] > losses[2]
    assert int(model.optimizer.iterations.numpy()) == 3
    model.fit(X, Y, batch_size=4, verbose=0)  # all take part again
    assert model.evaluate(X, Y, verbose=0) < losses[2]


class OwnFunction(keras.Sequential):
    def make_train_function(self, force: bool = False) -> Any:
        super().make_train_function(force)
        return self.train_function


def test_functions_of_ones_own_are_refused_and_remade_ones_are_not(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    with strategy.scope():
        own, set_by_hand = OwnFunction([keras.layers.Dense(1)]), make_model()
        own.compile("sgd", "mse")
    with pytest.raises(NotImplementedError, match=r"make_train_function of its own.*run_eagerly"):
        own.fit(X, Y, verbose=0)
    set_by_hand.test_function = lambda iterator: {}
    with pytest.raises(NotImplementedError, match=r"a test_function of its own"):
        set_by_hand.evaluate(X, Y, verbose=0)
    set_by_hand.make_test_function(force=True)  # as some callbacks do: Keras's own again
    assert len(set_by_hand.evaluate(X, Y, verbose=0)) == 2
