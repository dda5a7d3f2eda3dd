"""jit_compile: XLA compiles what a worker computes; lookups of rows stay outside."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

pytestmark = pytest.mark.timeout(180)

IDS = np.random.default_rng(4).integers(0, 300, (44, 6))
CLASSES = (IDS.sum(axis=1, keepdims=True) > 900).astype("float32")


def of_one_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
    """Give the first worker all batches, in order; the last is smaller than the others."""
    batches = tf.data.Dataset.from_tensor_slices((IDS, CLASSES)).batch(8)
    return batches if context.input_pipeline_id == 0 else batches.take(0)


def fitted(strategy: Any, *, jit_compile: Any, **compile_arguments: Any) -> tuple[Any, list[Any]]:
    keras.utils.set_random_seed(1)
    with strategy.scope():
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
            keras.optimizers.SGD(0.1),
            "binary_crossentropy",
            metrics=["accuracy"],
            jit_compile=jit_compile,
            **compile_arguments,
        )
    model.fit(of_one_worker, epochs=2, verbose=0)
    return model, [np.asarray(value) for value in model.get_weights()]


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
    strategy = make_strategy(num_shards, overlap=overlap)
    weights: list[Any] = []
    for jit_compile in (False, True):
        model, found = fitted(
            strategy, jit_compile=jit_compile, steps_per_execution=100 if overlap else 6
        )
        weights.append(found)
        assert compiled(model) == jit_compile
    if overlap:  # which changes nothing in evaluate and predict
        assert model.predict(IDS, verbose=0).shape == (44, 1)
    else:
        assert model.evaluate(IDS, CLASSES, batch_size=44, verbose=0)[0] < 0.7
    for traced, xla in zip(*weights, strict=True):
        np.testing.assert_allclose(xla, traced, atol=1e-5)


def test_auto_is_off_under_a_strategy_as_in_keras(strategy: Any) -> None:
    model, _ = fitted(strategy, jit_compile="auto")
    assert not model.jit_compile
    assert not compiled(model)
