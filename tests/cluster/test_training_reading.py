"""Keras's evaluate and predict on real workers: the same as on one machine."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfps

pytestmark = pytest.mark.timeout(120)

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(41, 3)).astype("float32")
LABELS = GENERATOR.integers(0, 4, 41)
WEIGHTS = GENERATOR.uniform(0.1, 2.0, 41).astype("float32")


def classifier() -> keras.Model:
    inputs = keras.Input((3,))
    hidden = keras.layers.BatchNormalization()(keras.layers.Dense(8, "relu")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Dropout(0.5)(hidden)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        "sgd",
        loss,
        metrics=["accuracy"],
        weighted_metrics=[keras.metrics.SparseTopKCategoricalAccuracy(2)],
        steps_per_execution=2,
    )
    return model


def pair(strategy: tfps.ParameterServerStrategy) -> tuple[keras.Model, keras.Model]:
    """Return a model of the strategy and one outside of it, with the same weights."""
    plain = classifier()
    with strategy.scope():
        model = classifier()
    model.set_weights(plain.get_weights())
    return model, plain


def dataset(*arrays: Any) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0]).batch(7)


@pytest.mark.parametrize("shards", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_evaluate_gives_what_plain_keras_gives(make_strategy: Any, shards: int) -> None:
    model, plain = pair(make_strategy(shards))
    for arguments in (
        {"x": X, "y": LABELS, "batch_size": 7},
        {"x": X[:3], "y": LABELS[:3]},  # fewer batches than workers
        {"x": X, "y": LABELS, "sample_weight": WEIGHTS, "batch_size": 5},
        {"x": dataset(X, LABELS, WEIGHTS)},
        {"x": X, "y": LABELS, "batch_size": 5, "steps": 4},
        {"x": dataset(X, LABELS).repeat(), "steps": 4},
    ):
        ours = model.evaluate(**arguments, verbose=0)
        np.testing.assert_allclose(ours, plain.evaluate(**arguments, verbose=0), rtol=1e-5)
    named = model.evaluate(X, LABELS, verbose=0, return_dict=True)
    assert set(named) == {"loss", "accuracy", "sparse_top_k_categorical_accuracy"}


def test_predict_keeps_the_order(make_strategy: Any) -> None:
    model, plain = pair(make_strategy(2))
    expected = plain.predict(X, verbose=0)
    for arguments in (
        {"x": X, "batch_size": 1},
        {"x": X, "batch_size": 6},
        {"x": dataset(X)},
        {"x": dataset(X, LABELS)},
    ):
        np.testing.assert_allclose(
            model.predict(**arguments, verbose=0), expected, rtol=1e-5, atol=1e-6
        )
    first = model.predict(dataset(X).repeat(), steps=3, verbose=0)
    np.testing.assert_allclose(first, expected[:21], rtol=1e-5, atol=1e-6)


def test_predict_with_a_function_deals_out_the_batches_of_the_workers_in_turn(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    model, plain = pair(strategy)

    def share(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return dataset(X).shard(context.num_input_pipelines, context.input_pipeline_id)

    np.testing.assert_allclose(
        model.predict(share, verbose=0), plain.predict(X, verbose=0), rtol=1e-5, atol=1e-6
    )


def test_predict_needs_no_compile_and_keeps_structures(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    with strategy.scope():
        inputs = {"a": keras.Input((3,), name="a"), "b": keras.Input((3,), name="b")}
        outputs = {"sum": inputs["a"] + inputs["b"], "both": (inputs["a"], 2 * inputs["b"])}
        model = keras.Model(inputs, outputs)
    predicted = model.predict({"a": X, "b": -X}, batch_size=4, verbose=0)
    np.testing.assert_array_equal(predicted["sum"], np.zeros_like(X))
    np.testing.assert_array_equal(predicted["both"][0], X)
    np.testing.assert_array_equal(predicted["both"][1], -2 * X)


def test_predict_builds_a_sequential_model_of_unknown_inputs(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    with strategy.scope():
        model = keras.Sequential([keras.layers.Dense(2)])
    assert model.predict(X, verbose=0).shape == (41, 2)


# contract/test_inputs.py has the same for shards.
@pytest.mark.slow
def test_sample_and_class_weights_weigh_the_loss_as_in_plain_keras(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    for weights in ({"sample_weight": WEIGHTS}, {"class_weight": {0: 1.0, 1: 3.0, 2: 0.5, 3: 2.0}}):
        histories = []
        for model in pair(strategy):
            model.optimizer.learning_rate = 0.0
            model.layers[3].rate = 0.0
            fitted = model.fit(X, LABELS, batch_size=41, verbose=0, shuffle=False, **weights)
            histories.append(fitted.history["loss"])
        np.testing.assert_allclose(*histories, rtol=1e-5)


def test_evaluation_changes_no_variable_but_metric_state(
    strategy: tfps.ParameterServerStrategy,
) -> None:
    model, _ = pair(strategy)
    before = model.get_weights()
    model.evaluate(X, LABELS, verbose=0)
    model.predict(X, verbose=0)
    for value, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(value, now)
    assert int(model.optimizer.iterations.numpy()) == 0
