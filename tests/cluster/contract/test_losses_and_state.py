"""Losses, regularizers and constraints; and the state that layers keep."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.cluster.contract.conftest import Make, assert_learns, same_evaluation

RANDOM = np.random.default_rng(0)
N = 48
X = RANDOM.normal(size=(N, 4)).astype("float32")
Y = X[:, :1] * 2 + 1
IDS = RANDOM.integers(0, 20, (N, 4))


def compiled(*layers: keras.layers.Layer, **arguments: Any) -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile(**{"optimizer": keras.optimizers.SGD(0.05), "loss": "mse", **arguments})
    return model


def one_step(make: Make, make_model: Any, *data: Any) -> tuple[keras.Model, keras.Model]:
    """Train both models one step on one batch, and assert that they come out alike."""
    model, plain = make(make_model)
    histories = [m.fit(*data, batch_size=N, verbose=0).history for m in (model, plain)]
    for name, values in histories[1].items():
        np.testing.assert_allclose(histories[0][name], values, rtol=1e-5, err_msg=name)
    for ours, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    return model, plain


class Adds(keras.layers.Layer):
    def call(self, x: Any) -> Any:
        self.add_loss(0.1 * keras.ops.sum(x**2))
        return x


def test_added_losses(make: Make) -> None:
    one_step(make, lambda: compiled(Adds(), keras.layers.Dense(1)), X, Y)


def test_regularizers_of_kernels_biases_and_activities(make: Make) -> None:
    def regularized() -> keras.Model:
        l2 = keras.regularizers.L2(0.3)
        dense = keras.layers.Dense(
            1, kernel_regularizer=l2, bias_regularizer="l1", activity_regularizer=l2
        )
        return compiled(dense)

    model, plain = one_step(make, regularized, X, Y)
    same_evaluation(model, plain, X, Y)


def test_a_regularized_table_is_pulled_whole(make: Make) -> None:
    def embedded() -> keras.Model:
        table = keras.layers.Embedding(20, 2, embeddings_regularizer=keras.regularizers.L2(0.1))
        return compiled(table, keras.layers.Flatten(), keras.layers.Dense(1))

    one_step(make, embedded, IDS, Y)


def test_a_constraint_of_a_table_holds_for_the_rows_touched(make: Make) -> None:
    def embedded() -> keras.Model:
        table = keras.layers.Embedding(20, 2, embeddings_constraint=keras.constraints.NonNeg())
        return compiled(table, keras.layers.Flatten(), keras.layers.Dense(1))

    model, _ = make(embedded)
    before = model.get_weights()[0]
    used = np.unique(IDS[:8])
    unused = np.setdiff1d(np.arange(20), used)
    model.fit(IDS[:8], Y[:8], batch_size=8, verbose=0)
    after = model.get_weights()[0]
    assert (after[used] >= 0).all()
    np.testing.assert_array_equal(after[unused], before[unused])


def test_a_constraint_by_element(make: Make) -> None:
    one_step(make, lambda: compiled(keras.layers.Dense(1, kernel_constraint="non_neg")), X, Y)


def test_metrics_start_anew_each_epoch_and_weighted_ones_are_weighted(make: Make) -> None:
    def counted() -> keras.Model:
        return compiled(
            keras.layers.Dense(1), metrics=["mae"],
            weighted_metrics=["mse"], optimizer=keras.optimizers.SGD(0.0),
        )  # fmt: skip

    model, plain = make(counted)
    weights = np.linspace(0, 2, N)
    histories = [
        m.fit(X, Y, sample_weight=weights, batch_size=5, epochs=3, verbose=0).history
        for m in (model, plain)
    ]
    for name, values in histories[1].items():
        np.testing.assert_allclose(histories[0][name], values, rtol=1e-5, err_msg=name)


def test_moving_statistics_of_one_step(make: Make) -> None:
    layers = [keras.layers.BatchNormalization, lambda: keras.layers.Dense(1)]
    model, plain = one_step(make, lambda: compiled(*(layer() for layer in layers)), X, Y)
    same_evaluation(model, plain, X, Y)


def test_spectral_normalization_writes_its_vector(make: Make) -> None:
    def normalized() -> keras.Model:
        return compiled(keras.layers.SpectralNormalization(keras.layers.Dense(1)))

    model, _ = one_step(make, normalized, X, Y)
    assert_learns(model, X, Y)


def test_a_stateful_recurrent_layer_carries_its_state(make: Make) -> None:
    def recurrent() -> keras.Model:
        inputs = keras.Input(batch_shape=(8, 2, 4))
        model = keras.Model(
            inputs, keras.layers.Dense(1)(keras.layers.LSTM(3, stateful=True)(inputs))
        )
        model.compile(keras.optimizers.SGD(0.05), "mse")
        return model

    model, plain = make(recurrent)
    x = np.stack([X[:8], X[8:16]], axis=1)
    for m in (model, plain):
        m.fit(x, Y[:8], batch_size=8, epochs=3, shuffle=False, verbose=0)
    for ours, theirs in zip(model.variables, plain.variables, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-5, err_msg=ours.path)


def test_dropout_is_the_same_again_from_the_same_seed(make: Make) -> None:
    def dropped() -> keras.Model:
        return compiled(keras.layers.Dropout(0.5, seed=3), keras.layers.Dense(1))

    losses = []
    for _ in range(2):
        model, _ = make(dropped)
        losses.append(
            model.fit(X, Y, batch_size=N, epochs=4, shuffle=False, verbose=0).history["loss"]
        )
    assert losses[0] == losses[1]
    assert len(set(losses[0])) == 4


def test_what_is_frozen_before_a_compile_stays_as_it_is(make: Make) -> None:
    model, _ = make(lambda: compiled(keras.layers.Dense(3), keras.layers.Dense(1)))
    model.fit(X, Y, verbose=0)
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(X, Y, verbose=0)
    after = model.get_weights()
    np.testing.assert_array_equal(after[0], before[0])
    assert np.any(after[2] != before[2])


class Scaled(keras.layers.Layer):
    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight(shape=(4,), initializer="ones", trainable=False, name="scale")

    def call(self, x: Any) -> Any:
        return keras.ops.mean(x * self.scale, axis=-1, keepdims=True)


@pytest.mark.parametrize("native", [False, True], ids=["assigned", "restored"])
def test_what_is_frozen_is_read_again_when_it_changes(make: Make, native: bool) -> None:
    model, _ = make(lambda: compiled(Scaled(), loss=lambda y, p: p))
    ones, zeros = np.ones((N, 4)), np.zeros((N, 1))

    class Change(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            value = np.full((4,), 2.0 + epoch, "float32")
            variable = self.model.layers[0].scale
            if native:
                variable._value.assign(tf.constant(value))
            else:
                variable.assign(value)

    with pytest.warns(UserWarning, match="does not have any trainable weights"):
        losses = model.fit(ones, zeros, epochs=3, verbose=0, callbacks=[Change()]).history["loss"]
    assert losses == [1.0, 2.0, 3.0]
    assert model.evaluate(ones, zeros, verbose=0) == 4.0


def test_trainable_set_after_a_compile_takes_effect_at_the_next_as_in_keras(make: Make) -> None:
    model, plain = make(lambda: compiled(keras.layers.Dense(3), keras.layers.Dense(1)))
    for m in (model, plain):
        m.fit(X, Y, batch_size=N, shuffle=False, verbose=0)
        m.layers[0].trainable = False
        m.fit(X, Y, batch_size=N, shuffle=False, verbose=0)
    for ours, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


class Noisy(keras.layers.Layer):
    """Draws from a SeedGenerator of its own, and keeps what it drew."""

    def __init__(self) -> None:
        super().__init__()
        self.seeds = keras.random.SeedGenerator(9)

    def build(self, input_shape: Any) -> None:
        self.drawn = self.add_weight(shape=(), initializer="zeros", trainable=False, name="drawn")

    def call(self, x: Any) -> Any:
        noise = keras.random.normal((), seed=self.seeds)
        self.drawn.assign(noise)
        return x + 0 * noise


def test_a_seed_generator_of_ones_own_draws_anew_in_each_step(make: Make) -> None:
    model, _ = make(lambda: compiled(Noisy(), keras.layers.Dense(1)))
    drawn = []
    for _ in range(4):
        model.fit(X, Y, batch_size=N, verbose=0)
        drawn.append(float(model.layers[0].drawn.numpy()))
    assert len(set(drawn)) == 4
