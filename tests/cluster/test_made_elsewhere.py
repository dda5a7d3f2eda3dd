"""Optimizers, variables and models that are made before or outside of a strategy's scope."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfps
from tests.cluster.conftest import MakeStrategy
from tests.cluster.processes import processes, program

pytestmark = pytest.mark.timeout(120)

X = np.arange(32, dtype="int32")[:, None] % 8
Y = np.ones((32, 1), "float32")


class Lazy(keras.Model):
    """A model that creates its variables when it is first called."""

    def __init__(self) -> None:
        super().__init__()
        self.table = keras.layers.Embedding(8, 4)
        self.dense = keras.layers.Dense(1)

    def call(self, x: Any) -> Any:
        return self.dense(self.table(x[:, 0]))


def lazy(strategy: tfps.ParameterServerStrategy, optimizer: Any = "adam") -> keras.Model:
    with strategy.scope():
        model = Lazy()
        model.compile(optimizer, "mse")
    return model


def test_an_optimizer_moves_into_the_scope_and_stays_the_same_object(
    make_strategy: MakeStrategy,
) -> None:
    optimizer = keras.optimizers.Adam(0.25, clipnorm=1.0)
    optimizer.learning_rate = 0.5
    rate, iterations = optimizer._learning_rate, optimizer.iterations
    model = lazy(make_strategy(2), optimizer)
    model.fit(X, Y, batch_size=8, verbose=0)
    assert model.optimizer is optimizer
    assert (float(rate.numpy()), int(iterations.numpy())) == (0.5, 4)
    built = keras.optimizers.SGD(momentum=0.9)
    built.build([keras.Variable([1.0])])
    with pytest.raises(ValueError, match=r"already has slot variables for 1 variables.*a new opt"):
        lazy(make_strategy(2), built)


def test_a_model_that_is_first_called_outside_of_the_scope_lies_on_the_ps(
    make_strategy: MakeStrategy,
) -> None:
    model = lazy(make_strategy(2))
    before = model(X).numpy()
    np.testing.assert_array_equal(model.predict(X, verbose=0), before)
    assert isinstance(model.table.embeddings.value, tf.__internal__.distribute.ShardedVariable)
    model.fit(X, Y, verbose=0)


def test_a_checkpoint_restored_before_the_model_is_built_is_honoured(
    make_strategy: MakeStrategy, tmp_path: Path
) -> None:
    trained = lazy(make_strategy(2))
    trained.fit(X, Y, verbose=0)
    tf.train.Checkpoint(model=trained).write(str(tmp_path / "saved"))
    for shards in (1, 2):
        model = lazy(make_strategy(shards))
        tf.train.Checkpoint(model=model).restore(str(tmp_path / "saved"))
        model.evaluate(X, Y, verbose=0)
        for value, saved in zip(model.get_weights(), trained.get_weights(), strict=True):
            np.testing.assert_array_equal(value, saved)
        model.fit(X, Y, verbose=0)
        assert int(model.optimizer.iterations.numpy()) == 2


def test_variables_and_tables_made_before_the_strategy_keep_their_values(tmp_path: Path) -> None:
    with processes(tmp_path) as ours:
        assert ours.start(program("made_before.py")).wait(90) == 0, ours.err()
        lines = ours.out().splitlines()
    assert lines[:3] == ["(1, 1) (1,)", "[1] [7] b'text'", "0.5 2"]
    assert lines[3].startswith("This tf.data.Dataset was made before the strategy")
    assert lines[4].startswith("This iterator was made before the strategy")
