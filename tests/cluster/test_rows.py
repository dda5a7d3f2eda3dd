"""Embeddings, whole or in shards: only the rows of a batch are pulled and updated."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import keras_nlp
import numpy as np
import pytest
import tensorflow as tf

import tfps
from tfps.params.placement import NEGLIGIBLE_BYTES
from tfps.params.shards import shards

pytestmark = pytest.mark.timeout(120)

SLOW = pytest.mark.slow

VOCABULARY, WIDTH = 50, 4
IDS = np.array([[1, 7, 7], [30, -1, 1], [7, 8, 30], [26, 25, 24]])  # -1: the last row
TOUCHED = sorted(set(IDS.flatten() % VOCABULARY))
UNTOUCHED = sorted(set(range(VOCABULARY)) - set(TOUCHED))
TARGETS = np.arange(4.0).reshape(4, 1)


class Shifted(keras.layers.Embedding):
    """A subclass that calls Keras's own lookup, twice."""

    def call(self, inputs: Any) -> Any:
        return super().call(inputs) + 2.0 * super().call(inputs)


def regressor(layer: keras.layers.Layer, optimizer: Any) -> keras.Model:
    ids = keras.Input((3,), dtype="int32")
    pooled = keras.layers.GlobalAveragePooling1D()(layer(ids))
    model = keras.Model(ids, keras.layers.Dense(1)(pooled))
    model.compile(optimizer, "mse")
    return model


def demand(model: keras.Model) -> Any:
    (program,) = model.train_function.by_spec.values()
    return program.demand


@pytest.mark.parametrize(
    ("num_shards", "layer_class", "optimizer"),
    [
        (1, keras.layers.Embedding, "adam"),
        pytest.param(3, keras.layers.Embedding, "sgd", marks=SLOW),
        (2, keras_nlp.layers.ReversibleEmbedding, "adagrad"),
        pytest.param(1, Shifted, "adagrad", marks=SLOW),
        (3, Shifted, "adam"),
    ],
)
def test_only_touched_rows_and_their_slots_change(
    make_strategy: Any, num_shards: int, layer_class: Any, optimizer: str
) -> None:
    with make_strategy(num_shards).scope():
        model = regressor(layer_class(VOCABULARY, WIDTH), optimizer)
        model.optimizer.build(model.trainable_variables)
    table = model.layers[1].embeddings
    slots = [v for v in model.optimizer.variables if tuple(v.shape) == (VOCABULARY, WIDTH)]
    before = [np.asarray(v) for v in (table, *slots)]
    model.fit(IDS, TARGETS, batch_size=2, epochs=3, verbose=0)
    assert [id(v) for v in demand(model).tables] == [id(table)]
    assert len(slots) == {"sgd": 0, "adam": 2, "adagrad": 1}[optimizer]
    for value, variable in zip(before, (table, *slots), strict=True):
        now = np.asarray(variable)
        np.testing.assert_array_equal(now[UNTOUCHED], value[UNTOUCHED])
        assert np.all(np.any(now[TOUCHED] != value[TOUCHED], axis=1))


def test_touched_rows_get_the_update_of_plain_keras(make_strategy: Any) -> None:
    def make() -> keras.Model:
        return regressor(keras.layers.Embedding(VOCABULARY, WIDTH), keras.optimizers.Adagrad(0.1))

    plain = make()
    with make_strategy(3).scope():
        served = make()
    served.set_weights(plain.get_weights())
    # No id twice in a batch: plain Keras squares the gradients of equal ids one by one.
    for model in (plain, served):
        model.fit(np.array([[3, 30, 7], [12, 0, 16]]), np.ones((2, 1)), epochs=3, verbose=0)
    for ours, theirs in zip(served.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.slow
def test_one_and_more_shards_train_alike(make_strategy: Any) -> None:
    results = []
    for num_shards in (1, 2, 3):
        with make_strategy(num_shards).scope():
            model = regressor(
                keras.layers.Embedding(
                    VOCABULARY,
                    WIDTH,
                    embeddings_initializer=keras.initializers.RandomNormal(seed=1),
                ),
                keras.optimizers.Adam(0.1),
            )
            model.layers[3].kernel.assign(np.ones((WIDTH, 1)))
        model.fit(IDS, TARGETS, batch_size=4, epochs=5, verbose=0)  # one batch: no race
        results.append(model.get_weights())
    for weights in results[1:]:
        for value, expected in zip(weights, results[0], strict=True):
            np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


def test_the_shards_of_a_table_and_of_its_slots_lie_together_on_different_ps(
    make_strategy: Any,
) -> None:
    with make_strategy(2).scope():
        model = regressor(keras.layers.Embedding(VOCABULARY, WIDTH), "adam")
        model.optimizer.build(model.trainable_variables)
    found = {v.path: shards(v) for v in model.variables}
    table = shards(model.layers[1].embeddings)
    assert [s.ps for s in table] in ([0, 1], [1, 0])
    assert [s.first_row for s in table] == [0, 25]
    slots = [v for v in model.optimizer.variables if tuple(v.shape) == (VOCABULARY, WIDTH)]
    for slot in slots:
        assert [(s.ps, s.first_row, s.shape) for s in shards(slot)] == [
            (s.ps, s.first_row, s.shape) for s in table
        ]
    assert {s.ps for split in found.values() for s in split} == {0, 1}


def test_variables_are_spread_by_bytes(strategy: tfps.ParameterServerStrategy) -> None:
    with strategy.scope():
        layers = [keras.layers.Dense(256) for _ in range(9)]
        keras.Sequential([keras.Input((256,)), *layers])
    first, second = strategy.bytes_per_ps
    assert first + second >= sum(layer.count_params() for layer in layers) * 4
    assert abs(first - second) <= 256 * 256 * 4 + NEGLIGIBLE_BYTES


def test_a_tied_embedding_trains_whole(make_strategy: Any) -> None:
    with make_strategy(2).scope():
        ids = keras.Input((3,), dtype="int32")
        tied = keras_nlp.layers.ReversibleEmbedding(VOCABULARY, WIDTH)
        hidden = keras.layers.Dense(WIDTH, "tanh")(tied(ids))
        model = keras.Model(ids, tied(hidden, reverse=True))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(0.05), loss)
    losses = model.fit(IDS, IDS % VOCABULARY, batch_size=2, epochs=25, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    assert demand(model).tables == ()


def test_token_and_position_embedding_pulls_token_rows(make_strategy: Any) -> None:
    with make_strategy(2).scope():
        layer = keras_nlp.layers.TokenAndPositionEmbedding(VOCABULARY, 3, WIDTH, mask_zero=True)
        model = regressor(layer, keras.optimizers.SGD(0.05))
    before = np.asarray(layer.token_embedding.embeddings)
    losses = model.fit(IDS, TARGETS, batch_size=2, epochs=10, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert [id(v) for v in demand(model).tables] == [id(layer.token_embedding.embeddings)]
    after = np.asarray(layer.token_embedding.embeddings)
    np.testing.assert_array_equal(after[UNTOUCHED], before[UNTOUCHED])


def test_two_lookups_of_one_table_and_a_frozen_one(make_strategy: Any) -> None:
    with make_strategy(2).scope():
        a, b = keras.Input((3,), dtype="int32"), keras.Input((3,), dtype="int64")
        shared = keras.layers.Embedding(VOCABULARY, WIDTH)
        frozen = keras.layers.Embedding(VOCABULARY, WIDTH, trainable=False)
        total = keras.layers.Flatten()(shared(a) + shared(b) * frozen(a))
        model = keras.Model([a, b], keras.layers.Dense(1)(total))
        model.compile("adam", "mse")
    before = np.asarray(shared.embeddings), np.asarray(frozen.embeddings)
    model.fit(
        [IDS, IDS[::-1] % VOCABULARY - VOCABULARY], TARGETS, batch_size=2, epochs=3, verbose=0
    )
    assert len(demand(model).tables) == 2
    np.testing.assert_array_equal(np.asarray(frozen.embeddings), before[1])
    after = np.asarray(shared.embeddings)
    np.testing.assert_array_equal(after[UNTOUCHED], before[0][UNTOUCHED])
    assert np.all(np.any(after[TOUCHED] != before[0][TOUCHED], axis=1))


@pytest.mark.parametrize(("num_shards", "bad"), [(1, VOCABULARY), (2, -VOCABULARY - 1)])
def test_an_id_out_of_range_is_an_error(make_strategy: Any, num_shards: int, bad: int) -> None:
    with make_strategy(num_shards).scope():
        model = regressor(keras.layers.Embedding(VOCABULARY, WIDTH), "sgd")
    with pytest.raises(tf.errors.InvalidArgumentError):
        model.fit(np.full((4, 3), bad), TARGETS, verbose=0)
    model.fit(IDS, TARGETS, verbose=0)  # and leaves the workers working


def test_rows_that_all_workers_push_lose_no_update(make_strategy: Any) -> None:
    with make_strategy(1).scope():
        ids = keras.Input((64,), dtype="int32")
        table = keras.layers.Embedding(64, 256, embeddings_initializer="zeros")
        model = keras.Model(ids, keras.ops.sum(table(ids), axis=(1, 2)))
        model.compile(
            keras.optimizers.SGD(1.0), lambda _, y: keras.ops.mean(y), steps_per_execution=50
        )
    batch = np.arange(64)[None], np.zeros((1, 1))
    data = tf.data.Dataset.from_tensors(batch).repeat()
    model.fit(data, steps_per_epoch=400, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], np.full((64, 256), -400.0))


@pytest.mark.parametrize(
    ("num_shards", "optimizer"),
    [pytest.param(n, o, marks=SLOW) for n, o in ((1, "adam"), (2, "rmsprop"), (2, "ftrl"))],
)
def test_rows_that_are_not_lazy_move_as_in_plain_keras(
    make_strategy: Any, num_shards: int, optimizer: str
) -> None:
    plain = regressor(keras.layers.Embedding(VOCABULARY, WIDTH), optimizer)
    with make_strategy(num_shards, lazy_rows=False).scope():
        served = regressor(keras.layers.Embedding(VOCABULARY, WIDTH), optimizer)
    served.set_weights(plain.get_weights())
    batches = [np.array([[3, 30, 7]]), np.array([[12, 0, 16]]), np.array([[3, 0, 1]])]
    for model, ids in itertools.product((plain, served), batches):
        model.fit(ids, np.ones((1, 1)), verbose=0)
    for ours, theirs in zip(served.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
