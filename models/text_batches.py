"""Labelled texts to batches, on the worker that trains on them."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from models.labelled_texts import Examples

DatasetFunction = Callable[[tf.distribute.InputContext], tf.data.Dataset]


def training(examples: Examples, *, batch_size: int, seed: int) -> DatasetFunction:
    """Return a function that makes an endless dataset of a worker's share of the examples.

    Each round over the share has another order. The batches hold raw text: a keras-nlp task maps
    its preprocessor over them, on the worker. The function raises ValueError when there are fewer
    examples than workers.

    Returns:
        A function that makes batches of (texts, labels), `(batch_size,)` string and int64.
    """

    def make_dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        worker, workers = context.input_pipeline_id, context.num_input_pipelines
        if len(examples) < workers:
            raise ValueError(
                f"{workers} workers share {len(examples)} texts, and each needs one. Give more "
                "texts, or start fewer workers."
            )
        mine = _share(examples, context)
        mine = mine.shuffle(len(examples), seed=seed + 1000 * worker).repeat()
        return mine.batch(batch_size).prefetch(2)

    return make_dataset


def held_out(examples: Examples, *, batch_size: int) -> DatasetFunction:
    """Return a function that makes a finite dataset: each example is on one worker, once."""

    def make_dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return _share(examples, context).batch(batch_size).prefetch(2)

    return make_dataset


def _share(examples: Examples, context: tf.distribute.InputContext) -> tf.data.Dataset:
    mine = slice(context.input_pipeline_id, None, context.num_input_pipelines)
    # A string tensor also for a worker that has no example.
    texts = tf.constant(examples.texts[mine], tf.string)
    return tf.data.Dataset.from_tensor_slices((texts, examples.labels[mine]))
