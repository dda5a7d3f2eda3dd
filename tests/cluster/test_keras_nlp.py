"""keras-nlp's tasks, with their preprocessors, on shards."""

from __future__ import annotations

from typing import Any

import keras
import keras_nlp
import numpy as np
import pytest
import tensorflow as tf

from tests.cluster.conftest import MakeStrategy

pytestmark = pytest.mark.timeout(180)

WORDS = [f"w{i}" for i in range(40)]
GENERATOR = np.random.default_rng(0)
LABELS = GENERATOR.integers(0, 2, 64)
TEXTS = np.array(
    [" ".join(GENERATOR.choice(WORDS[20 * y : 20 * y + 20], 6)) for y in LABELS.tolist()]
)


@pytest.mark.parametrize(
    "by_function", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["function", "arrays"]
)
def test_a_text_classifier_learns_from_raw_strings(
    make_strategy: MakeStrategy, by_function: bool
) -> None:
    vocabulary = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", *WORDS]
    with make_strategy(2).scope():
        tokenizer = keras_nlp.models.BertTokenizer(vocabulary=vocabulary)
        backbone = keras_nlp.models.BertBackbone(
            vocabulary_size=len(vocabulary),
            num_layers=1,
            num_heads=2,
            hidden_dim=16,
            intermediate_dim=32,
            max_sequence_length=8,
        )
        model = keras_nlp.models.BertTextClassifier(
            backbone,
            num_classes=2,
            preprocessor=keras_nlp.models.BertTextClassifierPreprocessor(
                tokenizer, sequence_length=8
            ),
        )
        model.compile(
            keras.optimizers.AdamW(0.01),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            steps_per_execution=1 if by_function else 2,
        )

    def share(context: tf.distribute.InputContext) -> tf.data.Dataset:
        texts = tf.data.Dataset.from_tensor_slices((TEXTS, LABELS))
        return texts.shard(context.num_input_pipelines, context.input_pipeline_id).batch(8)

    arrays: dict[str, Any] = {"x": TEXTS, "y": LABELS, "batch_size": 8}
    data = {"x": share} if by_function else arrays
    fitted = model.fit(**data, epochs=6, verbose=0).history
    assert fitted["loss"][-1] < 0.5 * fitted["loss"][0]
    predicted = model.predict(TEXTS, batch_size=8, verbose=0).argmax(axis=1)
    accuracy = float(np.mean(predicted == LABELS))
    assert accuracy > 0.9
    steps = 6 * 8
    if not by_function:  # the other form of data, after the first
        batches = tf.data.Dataset.from_tensor_slices((TEXTS, LABELS)).batch(8)
        evaluated = model.evaluate(batches, verbose=0, return_dict=True)
        assert evaluated["accuracy"] == pytest.approx(accuracy)
        assert model.fit(share, verbose=0).history["accuracy"][-1] > 0.9
        steps += 8
    assert int(model.optimizer.iterations) == steps


@pytest.mark.slow
def test_a_causal_language_model_with_a_tied_table_learns(make_strategy: MakeStrategy) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = {token: i for i, token in enumerate(["<|endoftext|>", "Ġ", *letters, "ab"])}
    with make_strategy(2).scope():
        tokenizer = keras_nlp.models.GPT2Tokenizer(vocabulary=vocabulary, merges=["a b"])
        backbone = keras_nlp.models.GPT2Backbone(
            vocabulary_size=len(vocabulary),
            num_layers=1,
            num_heads=2,
            hidden_dim=16,
            intermediate_dim=32,
            max_sequence_length=12,
        )
        model = keras_nlp.models.GPT2CausalLM(
            backbone,
            preprocessor=keras_nlp.models.GPT2CausalLMPreprocessor(tokenizer, sequence_length=12),
        )
        loss: Any = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(0.01), loss, steps_per_execution=4)
    texts = np.array(["abcabcabcabc", "hello hello"] * 32)
    history = model.fit(texts, batch_size=8, epochs=5, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]
