"""The tasks of keras-nlp on parameter servers: does each learn under an unchanged `fit`?

    python -m benchmarks.tasks

makes each task from scratch at toy size, its variables in two shards, and trains it on 2 workers
and 2 ps inside this process. The data are made up: runs of the alphabet, one letter repeated,
letters of the alphabet's first or second half, and images that are bright on the left or on the
right. It prints the mean loss of the first epoch and of the last. Text goes in as raw strings,
through the task's own preprocessor, except for Gemma and Llama, whose tokenizers need a
SentencePiece model: they are given ids.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import keras
import keras_nlp
import numpy as np
import tensorflow as tf
import tyro
from keras_nlp import models

import tfps
from benchmarks import launch, report
from tfps.params.shards import shards

EXAMPLES = 128
BATCH = 16
LENGTH = 8
IMAGE = (16, 16, 3)
SEED = 5
FALLEN = 0.5
"""Part of the first loss that the last must not exceed."""

_FixedShards = tf.distribute.experimental.partitioners.FixedShardsPartitioner


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Train each task of keras-nlp on 2 workers and 2 ps."""

    only: tuple[str, ...] = ()
    """Names of the tasks to train; all by default."""
    epochs: int = 8
    """Epochs of each."""
    json: Path | None = None
    """A file to write the numbers to."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A task and what it learns.

    Attributes:
        make: Makes the task, from scratch.
        data: What `fit` is given: inputs, and then targets and weights where it needs them.
        learning_rate: Adam's.
    """

    make: Callable[[], keras.Model]
    data: tuple[Any, ...]
    learning_rate: float = 0.01


def bert_text_classifier() -> keras.Model:
    """Make a classifier of strings, split into words by WordPiece."""
    preprocessor = models.BertTextClassifierPreprocessor(_word_pieces(), sequence_length=LENGTH + 2)
    return models.BertTextClassifier(_bert(), num_classes=2, preprocessor=preprocessor)


def bert_masked_lm() -> keras.Model:
    """Make a model that fills in words, which its preprocessor masks anew in each epoch."""
    preprocessor = models.BertMaskedLMPreprocessor(
        _word_pieces(),
        sequence_length=LENGTH + 2,
        mask_selection_rate=0.25,
        mask_selection_length=2,
    )
    return models.BertMaskedLM(_bert(), preprocessor=preprocessor)


def roberta_text_classifier() -> keras.Model:
    """Make a classifier of strings, split into letters by byte pair encoding."""
    special = ["<s>", "<pad>", "</s>", "<mask>"]
    tokenizer = models.RobertaTokenizer(vocabulary=_letter_ids(special), merges=["a b"])
    preprocessor = models.RobertaTextClassifierPreprocessor(tokenizer, sequence_length=LENGTH + 2)
    backbone = models.RobertaBackbone(
        tokenizer.vocabulary_size(), **_SMALL, max_sequence_length=LENGTH + 2
    )
    return models.RobertaTextClassifier(backbone, num_classes=2, preprocessor=preprocessor)


def gpt2_causal_lm() -> keras.Model:
    """Make a language model whose table both looks up and predicts."""
    tokenizer = models.GPT2Tokenizer(vocabulary=_letter_ids(["<|endoftext|>"]), merges=["a b"])
    preprocessor = models.GPT2CausalLMPreprocessor(tokenizer, sequence_length=LENGTH)
    backbone = models.GPT2Backbone(
        tokenizer.vocabulary_size(), **_SMALL, max_sequence_length=LENGTH
    )
    return models.GPT2CausalLM(backbone, preprocessor=preprocessor)


def gemma_causal_lm() -> keras.Model:
    """Make a language model with one head of keys and values for two of queries."""
    backbone = models.GemmaBackbone(
        vocabulary_size=len(ascii_lowercase),
        num_layers=1,
        num_query_heads=2,
        num_key_value_heads=1,
        hidden_dim=16,
        intermediate_dim=64,
        head_dim=8,
    )
    return models.GemmaCausalLM(backbone, preprocessor=None)


def llama_causal_lm() -> keras.Model:
    """Make a language model with rotary positions and two tables, not tied."""
    backbone = models.LlamaBackbone(
        vocabulary_size=len(ascii_lowercase),
        num_layers=1,
        num_query_heads=2,
        num_key_value_heads=1,
        hidden_dim=16,
        intermediate_dim=32,
    )
    return models.LlamaCausalLM(backbone, preprocessor=None)


def bart_seq_2_seq_lm() -> keras.Model:
    """Make an encoder and a decoder that share one table."""
    special = ["<s>", "<pad>", "</s>"]
    tokenizer = models.BartTokenizer(vocabulary=_letter_ids(special), merges=["a b"])
    preprocessor = models.BartSeq2SeqLMPreprocessor(
        tokenizer, encoder_sequence_length=LENGTH + 2, decoder_sequence_length=LENGTH + 2
    )
    backbone = models.BartBackbone(
        tokenizer.vocabulary_size(), **_SMALL, max_sequence_length=LENGTH + 2
    )
    return models.BartSeq2SeqLM(backbone, preprocessor=preprocessor)


def resnet_image_classifier() -> keras.Model:
    """Make a residual network with batch normalization, which scales the bytes of its images."""
    converter = keras_nlp.layers.ResNetImageConverter(image_size=IMAGE[:2], scale=1 / 255)
    backbone = models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64],
        stackwise_num_blocks=[1],
        stackwise_num_strides=[1],
        block_type="basic_block",
        image_shape=IMAGE,
    )
    preprocessor = models.ResNetImageClassifierPreprocessor(converter)
    return models.ResNetImageClassifier(backbone, num_classes=2, preprocessor=preprocessor)


def vit_image_classifier() -> keras.Model:
    """Make a transformer over patches of an image."""
    converter = keras_nlp.layers.ViTImageConverter(image_size=IMAGE[:2], scale=1 / 255)
    backbone = models.ViTBackbone(
        image_shape=IMAGE, patch_size=4, num_layers=1, num_heads=2, hidden_dim=32, mlp_dim=32
    )
    preprocessor = models.ViTImageClassifierPreprocessor(converter)
    return models.ViTImageClassifier(backbone, num_classes=2, preprocessor=preprocessor)


_SMALL = {"num_layers": 1, "num_heads": 2, "hidden_dim": 32, "intermediate_dim": 32}


def _bert() -> keras.Model:
    vocabulary_size = _word_pieces().vocabulary_size()
    return models.BertBackbone(vocabulary_size, **_SMALL, max_sequence_length=LENGTH + 2)


def _word_pieces() -> Any:
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    return models.BertTokenizer(vocabulary=[*special, *ascii_lowercase])


def _letter_ids(special: list[str]) -> dict[str, int]:
    return {token: number for number, token in enumerate([*special, *ascii_lowercase, "ab"])}


_random = np.random.default_rng(0)
_labels = _random.integers(0, 2, EXAMPLES)
_half = len(ascii_lowercase) // 2
_of_a_half = _random.integers(0, _half, (EXAMPLES, LENGTH)) + _half * _labels[:, None]
_runs = (_random.integers(0, 26, (EXAMPLES, 1)) + np.arange(LENGTH + 1)) % 26
_repeated = np.repeat(_random.integers(0, 4, (EXAMPLES, 1)), LENGTH, axis=1)
_next = (
    {"token_ids": _runs[:, :-1], "padding_mask": np.ones((EXAMPLES, LENGTH), bool)},
    _runs[:, 1:],
)
_images = _random.integers(0, 128, (EXAMPLES, *IMAGE))
_images[_labels == 0, :, : IMAGE[1] // 2] += 127
_images[_labels == 1, :, IMAGE[1] // 2 :] += 127


def _texts(letters: np.ndarray, between: str = "") -> np.ndarray:
    return np.array([between.join(ascii_lowercase[i] for i in row) for row in letters])


_labelled_images = (_images.astype("uint8"), _labels)
_run_texts = _texts(_runs[:, :LENGTH])
CASES = {
    "BertTextClassifier": Case(make=bert_text_classifier, data=(_texts(_of_a_half, " "), _labels)),
    "BertMaskedLM": Case(make=bert_masked_lm, data=(_texts(_repeated, " "),)),
    "RobertaTextClassifier": Case(make=roberta_text_classifier, data=(_texts(_of_a_half), _labels)),
    "GPT2CausalLM": Case(make=gpt2_causal_lm, data=(_run_texts,)),
    "GemmaCausalLM": Case(make=gemma_causal_lm, data=_next),
    "LlamaCausalLM": Case(make=llama_causal_lm, data=_next),
    "BartSeq2SeqLM": Case(
        make=bart_seq_2_seq_lm,
        data=({"encoder_text": _run_texts, "decoder_text": _run_texts},),
    ),
    "ResNetImageClassifier": Case(make=resnet_image_classifier, data=_labelled_images),
    "ViTImageClassifier": Case(
        make=vit_image_classifier, data=_labelled_images, learning_rate=0.002
    ),
}


def main() -> None:
    """Train and publish."""
    arguments = tyro.cli(Arguments)
    names = chosen(arguments.only)
    strategy = launch.embedded_strategy(ps=2, workers=2, variable_partitioner=_FixedShards(2))
    table = report.Table(
        title=f"{arguments.epochs} epochs of {EXAMPLES} examples on 2 workers and 2 ps",
        columns=["task", "parameters", "variables", "sharded", "first loss", "last loss", "falls"],
        rows=[[name, *train(strategy, CASES[name], arguments.epochs)] for name in names],
        note="sharded: how many of the variables lie in two parts, one on each ps. falls: the last "
        f"loss is below {FALLEN:.0%} of the first.",
    )
    report.publish([table], arguments.json)


def chosen(only: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names to train.

    Raises:
        ValueError: One is not a task of this benchmark.
    """
    if unknown := [name for name in only if name not in CASES]:
        raise ValueError(f"--only: {', '.join(unknown)} is not among {', '.join(CASES)}.")
    return only or tuple(CASES)


def train(
    strategy: tfps.ParameterServerStrategy, case: Case, epochs: int
) -> tuple[int, int, int, float, float, bool]:
    """Return the parameters, the variables, those in shards, both losses, whether they fall."""
    keras.utils.set_random_seed(SEED)
    with strategy.scope():
        task = case.make()
        task.compile(keras.optimizers.Adam(case.learning_rate))
    losses = task.fit(*case.data, batch_size=BATCH, epochs=epochs, verbose=0).history["loss"]
    sharded = sum(len(shards(variable)) > 1 for variable in task.weights)
    fallen = losses[-1] < FALLEN * losses[0]
    return task.count_params(), len(task.weights), sharded, losses[0], losses[-1], fallen


if __name__ == "__main__":
    main()
