"""models/text_batches.py: each worker's share."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models import text_batches
from models.labelled_texts import Examples

EXAMPLES = Examples(texts=tuple(map(str, range(10))), labels=np.arange(10))


def context(worker: int, workers: int) -> tf.distribute.InputContext:
    return tf.distribute.InputContext(num_input_pipelines=workers, input_pipeline_id=worker)


def test_held_out_examples_are_on_one_worker_once() -> None:
    make_dataset = text_batches.held_out(EXAMPLES, batch_size=2)
    shares = [list(make_dataset(context(worker, 3)).unbatch()) for worker in range(3)]
    pairs = [(text.numpy().decode(), int(label)) for share in shares for text, label in share]
    assert sorted(pairs) == [(str(number), number) for number in range(10)]


def test_worker_without_held_out_examples_has_an_empty_dataset() -> None:
    few = Examples(texts=("a",), labels=np.array([0]))
    dataset = text_batches.held_out(few, batch_size=2)(context(1, 2))
    assert dataset.element_spec[0].dtype == tf.string
    assert list(dataset) == []


def test_training_goes_round_the_share_in_full_batches() -> None:
    dataset = text_batches.training(EXAMPLES, batch_size=5, seed=0)(context(1, 2))
    rounds = [labels.numpy() for _, labels in dataset.take(4)]
    assert all(sorted(labels) == [1, 3, 5, 7, 9] for labels in rounds)
    assert len({tuple(labels) for labels in rounds}) > 1


def test_each_worker_needs_an_example_to_train_on() -> None:
    make_dataset = text_batches.training(EXAMPLES, batch_size=5, seed=0)
    with pytest.raises(ValueError, match="11 workers share 10 texts"):
        make_dataset(context(0, 11))
