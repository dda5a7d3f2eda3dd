"""Keras's contract: each case without and with shards, and on as many workers as the run has."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfps
from tests.cluster.conftest import MakeStrategy

Make = Callable[[Callable[[], keras.Model]], tuple[keras.Model, keras.Model]]


# Whole variables have no code of their own here; the tests beside this folder have them, too.
@pytest.fixture(params=[pytest.param(1, marks=pytest.mark.slow), 2], ids=["whole", "2 shards"])
def sharded(request: pytest.FixtureRequest, make_strategy: MakeStrategy) -> Any:
    """A strategy without a partitioner's doing, and one that splits every variable in two."""
    return make_strategy(request.param)


@pytest.fixture
def make(sharded: tfps.ParameterServerStrategy) -> Make:
    """Make a model twice, with the same weights: in the strategy's scope, and in plain Keras."""
    return functools.partial(made_twice, sharded)


def made_twice(
    strategy: tfps.ParameterServerStrategy, make_model: Callable[[], keras.Model]
) -> tuple[keras.Model, keras.Model]:
    keras.utils.set_random_seed(5)
    plain = make_model()
    keras.utils.set_random_seed(5)
    with strategy.scope():
        model = make_model()
    if plain.built and model.built:
        model.set_weights(plain.get_weights())
    return model, plain


def same_evaluation(model: keras.Model, plain: keras.Model, *data: Any, **arguments: Any) -> None:
    """Assert that both models evaluate alike, and predict alike."""
    ours, theirs = (
        m.evaluate(*data, verbose=0, return_dict=True, **arguments) for m in (model, plain)
    )
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


def same_training(model: keras.Model, plain: keras.Model, *data: Any) -> None:
    """Train both models on one batch, which one worker does, and assert that they train alike.

    By SGD: where an id is twice in a batch, plain Keras squares its gradients one by one.
    """
    ours, theirs = (
        m.fit(*data, batch_size=batch_size(data), epochs=3, shuffle=False, verbose=0).history
        for m in (model, plain)
    )
    np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=1e-4)
    assert theirs["loss"][-1] < theirs["loss"][0]


def batch_size(data: Any) -> int | None:
    return None if isinstance(data[0], tf.data.Dataset) else len(data[0])


def assert_learns(model: keras.Model, *data: Any, epochs: int = 6, **arguments: Any) -> None:
    """Assert that training lowers the loss, and counts each step."""
    history = model.fit(*data, epochs=epochs, verbose=0, **arguments).history["loss"]
    assert history[-1] < 0.9 * history[0], history
