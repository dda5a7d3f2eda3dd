"""Embeddings: only the rows of a batch are pulled and updated, whole or in shards."""

from __future__ import annotations

from typing import Any

import keras
import keras_nlp
import numpy as np
import pytest
import tensorflow as tf

import tfps
from tests.cluster.conftest import MakeStrategy
from tfps.params.shards import shards
from tfps.training.steps import program, training_step

pytestmark = pytest.mark.timeout(120)

ROWS, WIDTH = 31, 4
USED = np.array([[3, 3, 30], [7, 12, -1]])  # an id below 0 counts from the end
TOUCHED = [3, 7, 12, 30]


class Doubled(keras.layers.Embedding):
    """A subclass that calls Embedding's own lookup."""

    def call(self, inputs: Any) -> Any:
        return 2.0 * super().call(inputs)


def lookups() -> dict[str, keras.layers.Layer]:
    return {
        "Embedding": keras.layers.Embedding(ROWS, WIDTH),
        "ReversibleEmbedding": keras.layers.ReversibleEmbedding(ROWS, WIDTH),
        "subclass": Doubled(ROWS, WIDTH),
        "TokenAndPosition": keras_nlp.layers.TokenAndPositionEmbedding(ROWS, 3, WIDTH),
    }


def fitted(
    strategy: tfps.ParameterServerStrategy, layer: keras.layers.Layer, optimizer: str
) -> tuple[keras.Model, list[np.ndarray]]:
    """Fit one step of 2 examples; return the model, and the table and its slots before."""
    with strategy.scope():
        ids = keras.Input((3,), dtype="int64")
        model = keras.Model(ids, keras.layers.Dense(1)(keras.layers.Flatten()(layer(ids))))
        model.compile(optimizer, "mse")
        model.optimizer.build(model.trainable_variables)
    before = [variable.numpy() for variable in tables(model)]
    model.fit(USED, np.ones((2, 1)), batch_size=2, verbose=0)
    return model, before


def tables(model: keras.Model) -> list[keras.Variable]:
    """Return the table and its slot variables."""
    found = [*model.trainable_variables, *model.optimizer.variables]
    return [variable for variable in found if tuple(variable.shape) == (ROWS, WIDTH)]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("kind", list(lookups()))
def test_untouched_rows_and_their_slots_stay_as_they_are(
    make_strategy: MakeStrategy, kind: str, count: int
) -> None:
    strategy = make_strategy(count)
    with strategy.scope():
        layer = lookups()[kind]
    model, before = fitted(strategy, layer, "adam")
    assert len(before) == 3
    for variable, old in zip(tables(model), before, strict=True):
        changed = np.flatnonzero((variable.numpy() != old).any(axis=1))
        assert changed.tolist() == TOUCHED, variable.path


@pytest.mark.parametrize("count", [1, 3])
def test_touched_rows_get_the_update_of_plain_keras(
    make_strategy: MakeStrategy, count: int
) -> None:
    strategy = make_strategy(count)

    def make() -> keras.Model:
        model = keras.Sequential(
            [
                keras.Input((3,), dtype="int64"),
                keras.layers.Embedding(ROWS, WIDTH),
                keras.layers.Flatten(),
                keras.layers.Dense(1),
            ]
        )
        model.compile(keras.optimizers.Adagrad(0.1), "mse")
        return model

    plain = make()
    with strategy.scope():
        served = make()
    served.set_weights(plain.get_weights())
    # No id twice in a batch: plain Keras squares the gradients of equal ids one by one.
    for model in (plain, served):
        model.fit(np.array([[3, 30, 7], [12, 0, 16]]), np.ones((2, 1)), epochs=3, verbose=0)
    for ours, theirs in zip(served.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_a_step_demands_rows_of_the_table_and_only_the_rest_whole(
    make_strategy: MakeStrategy,
) -> None:
    model, _ = fitted(make_strategy(2), keras.layers.Embedding(ROWS, WIDTH), "sgd")
    made = program(
        model,
        training_step,
        (tf.TensorSpec([None, 3], tf.int64), tf.TensorSpec([None, 1], tf.float64)),
    )
    assert [v.name for v in made.demand.tables] == ["embeddings"]
    assert "embeddings" not in [v.name for v in made.demand.whole]


def test_a_tied_projection_pulls_the_table_and_trains(make_strategy: MakeStrategy) -> None:
    strategy = make_strategy(2)
    with strategy.scope():
        ids = keras.Input((3,), dtype="int32")
        table = keras.layers.ReversibleEmbedding(ROWS, WIDTH)
        model = keras.Model(ids, table(table(ids), reverse=True))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(0.05), loss, steps_per_execution=4)
    x = np.random.default_rng(0).integers(0, ROWS, (64, 3))
    history = model.fit(x, x, batch_size=8, epochs=8, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]


def test_shards_lie_on_different_ps_and_slots_with_them(make_strategy: MakeStrategy) -> None:
    model, _ = fitted(make_strategy(2), keras.layers.Embedding(ROWS, WIDTH), "adam")
    table, *slots = tables(model)
    assert [shard.shape for shard in shards(table)] == [(16, WIDTH), (15, WIDTH)]
    assert [shard.first_row for shard in shards(table)] == [0, 16]
    assert {shard.ps for shard in shards(table)} == {0, 1}
    for slot in slots:
        assert [s.ps for s in shards(slot)] == [s.ps for s in shards(table)]


def test_an_id_past_the_end_is_an_error(strategy: tfps.ParameterServerStrategy) -> None:
    with strategy.scope():
        model = keras.Sequential([keras.layers.Embedding(5, 2), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
    with pytest.raises(tf.errors.InvalidArgumentError, match="7 is not in"):
        model.fit(np.array([[1], [7]]), np.ones((2, 1)), verbose=0)
