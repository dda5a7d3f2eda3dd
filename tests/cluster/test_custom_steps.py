"""A train_step, a test_step and an optimizer of one's own, as they run in plain Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfps
from tests.cluster.conftest import MakeStrategy

pytestmark = pytest.mark.timeout(90)

X = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")
IDS = np.random.default_rng(1).integers(0, 20, (64, 2))


class OwnStep(keras.Model):
    """Keras's guide: a tape, the model's optimizer, metrics of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.table = keras.layers.Embedding(20, 4)
        self.dense = keras.layers.Dense(1)
        self.seen = keras.metrics.Sum(name="seen")

    def call(self, inputs: Any) -> Any:
        ids, x = inputs
        return self.dense(keras.ops.concatenate([keras.ops.mean(self.table(ids), axis=1), x], -1))

    def train_step(self, data: Any) -> Any:
        inputs, y = data
        with tf.GradientTape() as tape:
            y_pred = self(inputs, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred)
        variables = self.trainable_variables
        gradients = [0.5 * tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        self.seen.update_state(keras.ops.ones_like(y))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
        return {metric.name: metric.result() for metric in self.metrics}


@pytest.mark.parametrize("shards", [1, 2])
def test_a_step_with_a_tape_trains_whole_variables_and_rows(
    make_strategy: MakeStrategy, shards: int
) -> None:
    def trained(model: OwnStep) -> tuple[Any, list[np.ndarray]]:
        model.compile("sgd", "mse")  # in the scope of the model, wherever it is called
        return model.fit(data, epochs=3, verbose=0).history, model.get_weights()

    data = tf.data.Dataset.from_tensors(((IDS, X), Y))  # one batch: no worker is ahead
    keras.utils.set_random_seed(2)
    plain_history, plain = trained(OwnStep())
    keras.utils.set_random_seed(2)
    with make_strategy(shards).scope():
        model = OwnStep()
    history, weights = trained(model)
    assert history["seen"] == plain_history["seen"] == [64.0] * 3
    for name in plain_history:
        np.testing.assert_allclose(history[name], plain_history[name], rtol=1e-5)
    for ours, theirs in zip(weights, plain, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


class Gan(keras.Model):
    """Two models, two optimizers, two updates in a step; what it returns is no metric."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        self.critic = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])

    def compile(self, critic_optimizer: Any, generator_optimizer: Any) -> None:
        super().compile()
        self.critic_optimizer = critic_optimizer
        self.generator_optimizer = generator_optimizer

    def train_step(self, real: Any) -> Any:
        noise = keras.random.normal((keras.ops.shape(real)[0], 2), seed=3)
        with tf.GradientTape() as tape:
            critic_loss = tf.reduce_mean(self.critic(self.generator(noise)) - self.critic(real))
            critic_loss += 0.1 * tf.reduce_mean(self.critic(real) ** 2)
        variables = self.critic.trainable_variables
        gradients = tape.gradient(critic_loss, variables)
        self.critic_optimizer.apply(gradients, variables)
        with tf.GradientTape() as tape:
            generator_loss = -tf.reduce_mean(self.critic(self.generator(noise)))
        variables = self.generator.trainable_variables
        gradients = tape.gradient(generator_loss, variables)
        self.generator_optimizer.apply(gradients, variables)
        return {"critic_loss": critic_loss, "generator_loss": generator_loss}


def test_a_step_may_update_twice_and_return_what_it_wants(
    make_strategy: MakeStrategy,
) -> None:
    with make_strategy(2).scope():
        gan = Gan()
        gan.compile(keras.optimizers.Adam(0.01), keras.optimizers.SGD(0.01, momentum=0.9))
    before = gan.get_weights()
    history = gan.fit(X, batch_size=8, epochs=2, verbose=0).history
    assert set(history) == {"critic_loss", "generator_loss"}
    assert int(gan.critic_optimizer.iterations) == int(gan.generator_optimizer.iterations) == 16
    for old, new in zip(before[:4], gan.get_weights()[:4], strict=True):
        assert np.any(old != new)


class OwnLoss(keras.Sequential):
    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
        training: bool = True,
    ) -> Any:  # fmt: skip
        return 3.0 * keras.ops.mean((y - y_pred) ** 2) + sum(self.losses)


def test_a_compute_loss_of_ones_own_gives_what_it_gives_in_plain_keras(
    make_strategy: MakeStrategy,
) -> None:
    def model() -> keras.Model:
        keras.utils.set_random_seed(6)
        made = OwnLoss([keras.Input((3,)), keras.layers.Dense(1, kernel_regularizer="l2")])
        made.compile(keras.optimizers.SGD(0.05))
        return made

    plain = model()
    with make_strategy(2).scope():
        ours = model()
    losses = [
        m.fit(X, Y, batch_size=64, epochs=3, shuffle=False, verbose=0).history["loss"]
        for m in (ours, plain)
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


class OwnTest(keras.Sequential):
    def test_step(self, data: Any) -> Any:
        x, y = data
        error = keras.ops.max(keras.ops.abs(self(x) - y))
        return {
            **super().test_step(data),
            "error": error,
            "one": 1.0,
            "text": "a",
            "two": np.int64(2),
        }


def test_a_test_step_of_its_own_gives_the_logs(strategy: tfps.ParameterServerStrategy) -> None:
    with strategy.scope():
        model = OwnTest([keras.layers.Dense(1)])  # built by evaluate
        model.compile("sgd", "mse")
    logs = model.evaluate(X, Y, batch_size=8, return_dict=True, verbose=0)
    plain = OwnTest([keras.Input((3,)), keras.layers.Dense(1)])
    plain.compile("sgd", "mse")
    plain.set_weights(model.get_weights())
    expected = plain.evaluate(X, Y, batch_size=8, return_dict=True, verbose=0)
    # A metric's result is of all batches, and everything else of the last batch.
    assert logs["loss"] == pytest.approx(expected["loss"])
    assert {name: logs[name] for name in ("one", "text", "two")} == {
        "one": 1,
        "text": b"a",
        "two": 2,
    }
    assert set(logs) == set(expected)


class Halving(keras.optimizers.Optimizer):
    """An optimizer of one's own, with a slot and a scalar of its own."""

    def build(self, variables: Any) -> None:
        if self.built:
            return
        super().build(variables)
        self.last = self.add_optimizer_variables(variables, "last")
        self.calls = self.add_variable((), "zeros", name="calls")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        last = self.last[self._get_variable_index(variable)]
        self.assign_sub(variable, learning_rate * (gradient + 0.5 * last))
        self.assign(last, gradient)
        self.assign_add(self.calls, 1.0)


def test_an_optimizer_of_ones_own_takes_the_steps_of_plain_keras(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    def trained() -> keras.Model:
        keras.utils.set_random_seed(4)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile(Halving(0.1), "mse")
        return model

    plain = trained()
    with strategy.scope():
        model = trained()
    for each in (plain, model):
        each.fit(X, Y, batch_size=64, epochs=5, verbose=0)
    for ours, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert float(model.optimizer.calls.numpy()) == float(plain.optimizer.calls.numpy()) == 10


def test_updates_that_are_not_finite_are_dropped_and_counted(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    keras.config.set_dtype_policy("mixed_float16")
    with strategy.scope():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        sgd = keras.optimizers.SGD(0.01)
        model.compile(keras.optimizers.LossScaleOptimizer(sgd, initial_scale=1024.0), "mse")
    x = X.copy()
    x[5] = np.inf  # in the first of 8 batches
    before = strategy.dropped_updates
    with pytest.warns(UserWarning, match="1 of 8 steps .* not finite"):
        model.fit(x, Y, batch_size=8, shuffle=False, verbose=0)
    assert int(model.optimizer.iterations) == 7
    assert strategy.dropped_updates == before + 1
    assert float(model.optimizer.dynamic_scale.numpy()) == 512.0
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_averages_overwrite_the_weights_as_often_as_steps_are_counted(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    """With momentum 1 the average stays at the first value, which every 4th step brings back."""
    with strategy.scope():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
        optimizer = keras.optimizers.SGD(
            0.1, use_ema=True, ema_momentum=1.0, ema_overwrite_frequency=4
        )
        model.compile(optimizer, "mse")
    model.fit(X, Y, batch_size=8, epochs=5, verbose=0)
    assert int(model.optimizer.iterations) == 40
    (average,) = [v for v in model.optimizer.variables if tuple(v.shape) == (3, 1)]
    np.testing.assert_array_equal(average.numpy(), model.get_weights()[0])
