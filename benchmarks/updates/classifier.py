"""The model of models/bert_classifier.py and its texts, as a lesson."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.learning.lesson import Lesson, Scale
from models.bert_classifier import CLIP_NORM, Settings, make_model
from models.lib import bert, recipe
from models.lib.labelled_texts import LabelledTexts

if TYPE_CHECKING:
    import keras


def lesson(settings: Settings, data: LabelledTexts, steps_per_epoch: int) -> Lesson:
    """Return the recipe's model and data as a lesson.

    Args:
        settings: Of the recipe.
        data: The texts.
        steps_per_epoch: Steps in an epoch, where the recipe's sees each text once.
    """
    folder = recipe.RUNS / ".vocabularies"
    pieces = bert.load_or_learn(data.train.texts, settings.vocabulary_size, folder)

    size = settings.batch_size
    return Lesson(
        title=f"{data.name}: {settings.epochs * steps_per_epoch:,} steps of {size} x "
        f"{settings.sequence_length} tokens, {len(pieces)} pieces, {len(data.classes)} classes",
        scale=Scale(
            unit="nats per text", baseline="class frequencies", baseline_loss=class_entropy(data)
        ),
        epochs=settings.epochs,
        steps_per_epoch=steps_per_epoch,
        batch_size=size,
        learning_rate=settings.learning_rate,
        clip_norm=CLIP_NORM,
        make_model=functools.partial(make_model, settings, data, pieces),
        training=bert.training_batches(data.train, batch_size=size, seed=settings.seed),
        held_out=bert.held_out_batches(data.held_out, batch_size=size),
        losses=losses,
    )


def losses(history: keras.callbacks.History) -> list[float]:
    """Return the held-out loss after each epoch, in nats per text."""
    return list(history.history["val_loss"])


def class_entropy(data: LabelledTexts) -> float:
    """Return the held-out loss of predicting the class frequencies of training."""
    counts = np.bincount(data.train.labels, minlength=len(data.classes))
    return float(-np.mean(np.log(counts / counts.sum())[data.held_out.labels]))
