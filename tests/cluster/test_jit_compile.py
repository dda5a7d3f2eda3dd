"""jit_compile: XLA compiles what a worker computes; lookups of rows stay outside."""

from __future__ import annotations

import contextlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

pytestmark = pytest.mark.timeout(180)

IDS = np.random.default_rng(4).integers(0, 300, (44, 6))
CLASSES = (IDS.sum(axis=1, keepdims=True) > 900).astype("float32")


def in_turn() -> tf.data.Dataset:
    """All batches, in order; the last is smaller than the others."""
    return tf.data.Dataset.from_tensor_slices((IDS, CLASSES)).batch(8)


def of_one_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
    return in_turn() if context.input_pipeline_id == 0 else in_turn().take(0)


def make_model(**compile_arguments: Any) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            keras.layers.Embedding(300, 16),
            keras.layers.Flatten(),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(8, activation="gelu"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(
        keras.optimizers.SGD(0.1), "binary_crossentropy", metrics=["accuracy"], **compile_arguments
    )
    return model


def compiled(model: keras.Model) -> bool:
    (program,) = model.train_function.by_spec.values()
    (dispatch,) = program._dispatches.values()
    function = dispatch.function
    library = function.graph.as_graph_def().library.function
    return any(one.attr["_XlaMustCompile"].b for one in library)


@pytest.mark.parametrize(
    ("num_shards", "overlap"), [pytest.param(1, True, marks=pytest.mark.slow), (2, False)]
)
def test_a_compiled_step_learns_what_a_traced_one_does(
    make_strategy: Any, num_shards: int, overlap: bool
) -> None:
    # With overlap, a step computes before the last one's update: plain Keras does not.
    strategy = make_strategy(num_shards, overlap=overlap)
    steps = 100 if overlap else 6
    with strategy.scope():
        model = make_model(jit_compile=True, steps_per_execution=steps)
    with strategy.scope() if overlap else contextlib.nullcontext():
        traced = make_model(jit_compile=False, steps_per_execution=steps)
    model.fit(of_one_worker, epochs=2, verbose=0)
    traced.fit(of_one_worker if overlap else in_turn(), epochs=2, verbose=0)
    assert compiled(model)
    for ours, theirs in zip(model.get_weights(), traced.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert not overlap or not compiled(traced)
    if overlap:  # which changes nothing in evaluate and predict
        assert model.predict(IDS, verbose=0).shape == (44, 1)
    else:
        assert model.evaluate(IDS, CLASSES, batch_size=44, verbose=0)[0] < 0.7


def test_auto_is_off_under_a_strategy_as_in_keras(strategy: Any) -> None:
    with strategy.scope():
        model = make_model(jit_compile="auto")
    model.fit(of_one_worker, verbose=0)
    assert not model.jit_compile
    assert not compiled(model)
