"""Passages to batches of token blocks, in the tf.data graph of the worker that trains on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import tensorflow as tf
import tensorflow_text as tf_text

from models.corpus import Passage
from models.vocabulary import END_ID, PAD_ID, START_ID

DatasetFunction = Callable[[tf.distribute.InputContext], tf.data.Dataset]
_SHUFFLED_BLOCKS = 4096
_INTERLEAVED_PASSAGES = 16


@dataclasses.dataclass(frozen=True)
class Blocks:
    """Makes the functions from which each worker builds its share of the data.

    Such a function runs on the workers, so it holds paths, numbers and bytes, and nothing of the
    chief's TensorFlow runtime. The files must be on the workers under the same paths. It gives
    batches of (inputs, targets, weights) as described at `to_blocks`.

    Attributes:
        vocabulary_model: SentencePiece's model, serialized.
        sequence_length: Tokens in a block.
        batch_size: Blocks in a batch; the last batch of held-out blocks may be smaller.
    """

    vocabulary_model: bytes
    sequence_length: int
    batch_size: int

    def training(self, passages: Sequence[Passage], *, seed: int) -> DatasetFunction:
        """Return a function that makes an endless dataset, in another order on each round.

        It raises ValueError when there are fewer passages than workers.
        """

        def make_dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
            if len(passages) < context.num_input_pipelines:
                raise ValueError(
                    f"{context.num_input_pipelines} workers share {len(passages)} passages of text,"
                    " and each needs one. Give more text, or start fewer workers."
                )
            worker_seed = seed + 1000 * context.input_pipeline_id
            mine = _passages_of_worker(passages, context)
            mine = mine.shuffle(len(passages), seed=worker_seed).repeat()
            texts = mine.interleave(_read, cycle_length=_INTERLEAVED_PASSAGES)
            blocks = texts.map(self._tokenize).unbatch()
            blocks = blocks.shuffle(_SHUFFLED_BLOCKS, seed=worker_seed)
            return blocks.batch(self.batch_size, drop_remainder=True).prefetch(2)

        return make_dataset

    def held_out(self, passages: Sequence[Passage]) -> DatasetFunction:
        """Return a function that makes a finite dataset: each block is on one worker, once."""

        def make_dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
            texts = _passages_of_worker(passages, context).flat_map(_read)
            return texts.map(self._tokenize).unbatch().batch(self.batch_size).prefetch(2)

        return make_dataset

    def _tokenize(self, text: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        # Made here, the tokenizer is an op of the worker's own graph, which makes its model once.
        # FastSentencepieceTokenizer, a constant, turns line ends into spaces and knows no bytes.
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
