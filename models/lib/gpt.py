"""What surrounds the GPT: batches of token blocks to train on, and a sample of what it writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import keras_nlp
import numpy as np
import sentencepiece
import tensorflow as tf
import tensorflow_text as tf_text

from models.lib.corpus import Passage
from models.lib.vocabulary import END_ID, PAD_ID, START_ID

DatasetFunction = Callable[[tf.distribute.InputContext], tf.data.Dataset]
_SHUFFLED_BLOCKS = 4096
_INTERLEAVED_PASSAGES = 16


@dataclasses.dataclass(frozen=True)
class Blocks:
    """Creates the functions from which each worker builds its share of the data.

    The functions run on the workers. They capture paths, numbers and bytes, and no tensors of the
    chief; the files must have the same paths on the workers. Their datasets hold batches of
    (inputs, targets, weights) as described at `to_blocks`.

    Attributes:
        vocabulary_model: SentencePiece's model, serialized.
        sequence_length: Tokens in a block.
        batch_size: Blocks in a batch; the last batch of held-out blocks may be smaller.
    """

    vocabulary_model: bytes
    sequence_length: int
    batch_size: int

    def training(self, passages: Sequence[Passage], *, seed: int) -> DatasetFunction:
        """Return a function that builds an endless dataset, in another order in each round.

        The function raises ValueError if there are fewer passages than workers.
        """

        def make_dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
            if len(passages) < context.num_input_pipelines:
                raise ValueError(
                    f"{context.num_input_pipelines} workers share {len(passages)} passages of text,"
                    " and each needs one. Give more text, or start fewer workers."
                )
            worker_seed = seed + 1000 * context.input_pipeline_id
            share = _passages_of_worker(passages, context)
            share = share.shuffle(len(passages), seed=worker_seed).repeat()
            texts = share.interleave(_read, cycle_length=_INTERLEAVED_PASSAGES)
            blocks = texts.map(self._tokenize).unbatch()
            blocks = blocks.shuffle(_SHUFFLED_BLOCKS, seed=worker_seed)
            return blocks.batch(self.batch_size, drop_remainder=True).prefetch(2)

        return make_dataset

    def held_out(self, passages: Sequence[Passage]) -> DatasetFunction:
        """Return a function that builds a finite dataset: one worker has each block, once."""

        def make_dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
            texts = _passages_of_worker(passages, context).flat_map(_read)
            return texts.map(self._tokenize).unbatch().batch(self.batch_size).prefetch(2)

        return make_dataset

    def _tokenize(self, text: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        # Created here, the tokenizer is an op of the worker's graph, which loads the model once.
        # FastSentencepieceTokenizer will not do: it replaces line ends and lacks byte fallback.
        tokenizer = tf_text.SentencepieceTokenizer(self.vocabulary_model)
        return to_blocks(tokenizer.tokenize(text), self.sequence_length)


def to_blocks(
    ids: tf.Tensor, sequence_length: int
) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
    """Cut one passage's tokens into blocks of next-token prediction; the last one is padded.

    Args:
        ids: `(tokens,)` int32, without start and end tokens.
        sequence_length: Tokens in a block.

    Returns:
        Inputs `{"token_ids", "padding_mask"}` and targets, `(blocks, sequence_length)` int32, and
        weights of the same shape, float32: 1 for a target, 0 for padding. Every token and the
        passage's end is a target exactly once.
    """
    ids = tf.concat([[START_ID], ids, [END_ID]], axis=0)
    targets = tf.size(ids) - 1
    blocks = -(-targets // sequence_length)
    padded = tf.pad(ids, [[0, blocks * sequence_length - targets]], constant_values=PAD_ID)
    shape = [-1, sequence_length]
    is_target = tf.reshape(tf.range(blocks * sequence_length) < targets, shape)
    inputs = {
        "token_ids": tf.reshape(padded[:-1], shape),
        "padding_mask": tf.cast(is_target, tf.int32),
    }
    return inputs, tf.reshape(padded[1:], shape), tf.cast(is_target, tf.float32)


def _passages_of_worker(
    passages: Sequence[Passage], context: tf.distribute.InputContext
) -> tf.data.Dataset:
    numbers = [(p.size_bytes, p.start_byte, p.file_bytes) for p in passages]
    columns = tf.constant(numbers, tf.int64, shape=(len(passages), 3))
    paths = tf.constant([p.path for p in passages], tf.string)
    dataset = tf.data.Dataset.from_tensor_slices((paths, columns))
    return dataset.shard(context.num_input_pipelines, context.input_pipeline_id)


def _read(path: tf.Tensor, numbers: tf.Tensor) -> tf.data.Dataset:
    """Read one passage: the file as one record after a header, before a footer."""
    size, start, file_bytes = tf.unstack(numbers)
    return tf.data.FixedLengthRecordDataset(path, size, start, file_bytes - start - size)


def continue_prompts(
    model: keras_nlp.models.GPT2CausalLM,
    processor: sentencepiece.SentencePieceProcessor,
    prompts: Sequence[str],
    *,
    sequence_length: int,
    seed: int,
) -> str:
    """Let a model continue prompts by top-k sampling.

    Args:
        model: A model whose variables lie in this process, since each token needs all of them.
        processor: Encodes and decodes text.
        prompts: Texts to continue; each is cut to a quarter of the sequence length.
        sequence_length: Number of tokens of prompt and continuation together.
        seed: Seed of the sampling.

    Returns:
        The prompts, each with its continuation.
    """
    model.compile(
        sampler=keras_nlp.samplers.TopKSampler(k=20, temperature=0.8, seed=seed), jit_compile=False
    )
    beginnings = [
        [START_ID, *processor.encode(prompt)][: max(2, sequence_length // 4)] for prompt in prompts
    ]
    token_ids = np.full((len(prompts), sequence_length), PAD_ID, np.int32)
    for row, ids in zip(token_ids, beginnings, strict=True):
        row[: len(ids)] = ids
    inputs = {"token_ids": token_ids, "padding_mask": (token_ids != PAD_ID).astype(np.int32)}
    written = np.asarray(model.generate(inputs, stop_token_ids=[END_ID])["token_ids"])
    return "\n".join(
        _passage(processor, beginning, row[len(beginning) :].tolist())
        for beginning, row in zip(beginnings, written, strict=True)
    )


def longest(passages: Sequence[Passage], count: int) -> list[str]:
    """Read the longest passages, as prompts."""
    by_size = sorted(passages, key=lambda passage: -passage.size_bytes)
    return [passage.read() for passage in by_size[:count]]


def _passage(
    processor: sentencepiece.SentencePieceProcessor, prompt: list[int], continuation: list[int]
) -> str:
    if END_ID in continuation:
        continuation = continuation[: continuation.index(END_ID)]
    return (
        f"--- prompt ---\n{processor.decode(prompt[1:])}\n"
        f"--- continuation ---\n{processor.decode(continuation)}\n"
    )
