"""A loop of one's own runs through the same four moves."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfps
from tests.cluster.conftest import NUM_WORKERS, MakeStrategy

pytestmark = pytest.mark.timeout(60)

X = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
Y = X[:, :1]


def data(context: tf.distribute.InputContext) -> tf.data.Dataset:
    share = tf.data.Dataset.from_tensor_slices((X, Y)).shard(
        context.num_input_pipelines, context.input_pipeline_id
    )
    return share.repeat().batch(4)


def step(model: keras.Model, batch: Any) -> Any:
    x, y = batch
    error = model(x, training=True) - y
    return tf.reduce_mean(error**2), {"mae": tf.reduce_mean(tf.abs(error)), "ones": tf.ones([])}


def make(strategy: tfps.ParameterServerStrategy) -> tuple[keras.Model, Any]:
    with strategy.scope():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        return model, keras.optimizers.Adam(0.05)


@pytest.mark.parametrize("shards", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_steps_are_exact_and_the_loss_falls(make_strategy: MakeStrategy, shards: int) -> None:
    strategy = make_strategy(shards)
    model, optimizer = make(strategy)
    loop = strategy.loop(step, model=model, optimizer=optimizer, data=data, steps_per_execution=3)
    first, second = loop.run(50), loop.run(100)
    assert int(optimizer.iterations) == 150
    assert set(first) == {"loss", "mae", "ones"}
    assert first["ones"] == 1.0
    assert second["loss"] < 0.3 * first["loss"]


def test_a_step_may_return_the_loss_alone(strategy: tfps.ParameterServerStrategy) -> None:
    model, optimizer = make(strategy)
    loop = strategy.loop(
        lambda m, batch: step(m, batch)[0], model=model, optimizer=optimizer, data=data
    )
    assert set(loop.run(NUM_WORKERS)) == {"loss"}


def test_data_that_ends_says_after_how_many_steps(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    model, optimizer = make(strategy)
    finite = tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)
    loop = strategy.loop(step, model=model, optimizer=optimizer, data=finite)
    with (
        pytest.warns(UserWarning, match="ended before 5 steps"),
        pytest.raises(ValueError, match=r"ended after 4 of 5 steps.*\.repeat\(\)"),
    ):
        loop.run(5)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda m, b: m(b[0]), "must return a scalar loss"),
        (lambda m, b: (tf.zeros([]), {"loss": tf.zeros([])}), "metric named 'loss'"),
    ],
)
def test_a_step_that_returns_no_loss_is_refused(
    strategy: tfps.ParameterServerStrategy, bad: Any, message: str
) -> None:
    model, optimizer = make(strategy)
    with pytest.raises(ValueError, match=message):
        strategy.loop(bad, model=model, optimizer=optimizer, data=data)


def test_layers_that_the_model_does_not_know_keep_their_state(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    model, optimizer = make(strategy)
    with strategy.scope():
        norm, noise = keras.layers.BatchNormalization(), keras.layers.GaussianNoise(1.0)
        norm.build((None, 3))
        table = keras.layers.Embedding(50, 1)
        table.build(None)

    def noisy(model: keras.Model, batch: Any) -> Any:
        x = noise(norm(batch[0], training=True), training=True)
        found = table(tf.cast(batch[1] > 0, tf.int32))
        return tf.reduce_mean((model(x) - found[:, 0]) ** 2), {"noise": tf.reduce_sum(x)}

    before = norm.moving_variance.numpy(), table.embeddings.numpy(), norm.gamma.numpy()
    loop = strategy.loop(noisy, model=model, optimizer=optimizer, data=data)
    sums = {loop.run(1)["noise"] for _ in range(5)}
    assert len(sums) == 5  # no two steps draw the same noise
    assert not np.allclose(before[0], norm.moving_variance.numpy())
    # Only the model's own variables are trained, as by its trainable_variables.
    np.testing.assert_array_equal(before[1], table.embeddings.numpy())
    np.testing.assert_array_equal(before[2], norm.gamma.numpy())


def test_a_loss_that_depends_on_no_variable_is_refused(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    model, optimizer = make(strategy)
    loop = strategy.loop(
        lambda m, batch: tf.reduce_mean(batch[0]), model=model, optimizer=optimizer, data=data
    )
    with pytest.raises(ValueError, match="No gradients provided for any variable"):
        loop.run(1)
    assert int(optimizer.iterations) == 0


def test_a_frozen_model_trains_nothing_and_says_so(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    with strategy.scope():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, trainable=False)])
        model.compile("sgd", "mse")
    before = model.get_weights()
    with pytest.warns(UserWarning, match="does not have any trainable weights"):
        history = model.fit(X, Y, batch_size=16, verbose=0)
    assert history.history["loss"][0] > 0
    assert int(model.optimizer.iterations) == 0
    np.testing.assert_array_equal(before[0], model.get_weights()[0])


def test_strategies_and_models_of_one_process_do_not_disturb_each_other(
    make_strategy: MakeStrategy,
) -> None:
    strategies = [make_strategy(shards) for shards in (1, 2)]
    made = [make(strategy) for strategy in strategies]
    loops = [
        strategy.loop(step, model=model, optimizer=optimizer, data=data)
        for strategy, (model, optimizer) in zip(strategies, made, strict=True)
    ]
    for _ in range(3):
        for loop in loops:
            loop.run(8)
    with strategies[0].scope():
        late = keras.Sequential([keras.layers.Dense(1)])
        late.compile("sgd", "mse")
    late.fit(X, Y, batch_size=16, verbose=0)
    assert [int(optimizer.iterations) for _, optimizer in made] == [24, 24]
    assert int(late.optimizer.iterations) == 4
