"""LoRA and quantised layers: only what trains is pushed, and what is frozen is pulled once."""

from __future__ import annotations

from typing import Any

import keras
import keras_nlp
import numpy as np
import pytest

from tests.cluster.contract.conftest import Make, assert_learns, same_evaluation

RANDOM = np.random.default_rng(0)
IDS = np.tile(np.arange(8), (16, 1))
X = RANDOM.normal(size=(32, 8)).astype("float32")
Y = X[:, :1] * 2


def gpt(lora_rank: int | None = None) -> keras.Model:
    backbone = keras_nlp.models.GPT2Backbone(
        vocabulary_size=20, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16,
        max_sequence_length=8, dropout=0.0,
    )  # fmt: skip
    model = keras_nlp.models.GPT2CausalLM(backbone, preprocessor=None)
    if lora_rank:
        backbone.enable_lora(lora_rank)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.02), loss)
    return model


def test_lora_pulls_and_pushes_what_trains_alone(make: Make) -> None:
    model, _ = make(lambda: gpt(2))
    before = {v.path: v.numpy() for v in model.variables}
    inputs = {"token_ids": IDS, "padding_mask": np.ones_like(IDS)}
    history = model.fit(inputs, IDS, epochs=20, verbose=0)
    losses = history.history["loss"]
    assert losses[-1] < losses[0]  # by little: the weights that are frozen are random
    trained = {v.path for v in model.trainable_variables}
    steps = int(model.optimizer.iterations) // 20
    in_float32 = 4 * sum(v.value.shape.num_elements() for v in model.trainable_variables)
    counters = 8 + 4  # the global step and the learning rate
    assert sum(history.traffic[-1].pull_bytes) == steps * (in_float32 + counters)
    assert sum(history.traffic[-1].push_bytes) == steps * in_float32
    for variable in model.variables:
        if variable.path not in trained:
            np.testing.assert_array_equal(variable.numpy(), before[variable.path])


def dense() -> keras.Model:
    model = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(16, "tanh"), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(0.02), "mse")
    return model


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have a `quantize`")
def test_a_quantized_model_predicts_and_trains_its_lora(make: Make, sharded: Any) -> None:
    model, plain = make(dense)
    model.predict(X, verbose=0)
    for each in (model, plain):
        each.quantize("int8")
    np.testing.assert_allclose(
        model.predict(X, verbose=0), plain.predict(X, verbose=0), rtol=1e-4, atol=1e-5
    )
    with sharded.scope():
        model.layers[0].enable_lora(2)
        model.compile(keras.optimizers.Adam(0.05), "mse")
    assert_learns(model, X, Y, epochs=20)


def test_lora_enabled_outside_of_the_scope_is_refused(make: Make) -> None:
    model, _ = make(dense)
    model.layers[0].enable_lora(2)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"lora_kernel_a' lies on .*as by enable_lora"):
        model.fit(X, Y, verbose=0)


@pytest.mark.slow
def test_a_model_evaluates_what_it_was_given(make: Make) -> None:
    model, plain = make(gpt)
    inputs = {"token_ids": IDS, "padding_mask": np.ones_like(IDS)}
    same_evaluation(model, plain, inputs, IDS)
