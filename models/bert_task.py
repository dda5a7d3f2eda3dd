"""keras-nlp's BERT text classifier, from scratch or from a preset, ready to train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import keras
import keras_nlp

from models import wordpiece
from models.labelled_texts import LabelledTexts
from models.late_gradients import adam
from models.recipe import RUNS

if TYPE_CHECKING:
    from models.bert_classifier import Settings

CLIP_NORM = 1.0


def load_pieces(settings: Settings, data: LabelledTexts, file: Path) -> list[str]:
    """Return the WordPiece vocabulary: that of the file, else of the preset, else a learned one.

    Args:
        settings: Of the run.
        data: Whose training texts the pieces are learned from.
        file: Keeps the run's vocabulary, which the weights in its checkpoints belong to.
    """
    if file.exists():
        return wordpiece.read(file)
    if settings.preset:
        pieces = keras_nlp.models.BertTokenizer.from_preset(str(settings.preset)).get_vocabulary()
    else:
        size = settings.vocabulary_size
        pieces = wordpiece.load_or_learn(data.train.texts, size, RUNS / ".vocabularies")
    wordpiece.write(file, pieces)
    return pieces


def make_model(
    settings: Settings,
    data: LabelledTexts,
    pieces: list[str],
    optimizer: keras.optimizers.Optimizer | None = None,
) -> keras_nlp.models.BertTextClassifier:
    """Make an untrained model, with the same weights at each call.

    Under a strategy's scope its variables lie on the ps.

    Args:
        settings: Of the run.
        data: Its classes are the model's.
        pieces: The WordPiece vocabulary; a preset brings its own.
        optimizer: What it is trained by; None is Adam for late gradients.
    """
    keras.utils.set_random_seed(settings.seed)
    if settings.preset:
        model = keras_nlp.models.BertTextClassifier.from_preset(
            str(settings.preset), num_classes=len(data.classes), dtype=settings.dtype
        )
        model.preprocessor.sequence_length = settings.sequence_length
    else:
        model = _from_scratch(settings, len(data.classes), pieces)
    if settings.lora_rank:
        model.backbone.enable_lora(settings.lora_rank)
    steps = settings.epochs * settings.steps_per_epoch(data)
    model.compile(
        optimizer=optimizer or adam(settings.learning_rate, steps, global_clipnorm=CLIP_NORM),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        steps_per_execution=settings.steps_per_execution,
    )
    return model


def _from_scratch(
    settings: Settings, num_classes: int, pieces: list[str]
) -> keras_nlp.models.BertTextClassifier:
    tokenizer = keras_nlp.models.BertTokenizer(vocabulary=pieces, lowercase=True)
    backbone = keras_nlp.models.BertBackbone(
        vocabulary_size=len(pieces),
        num_layers=settings.layers,
        num_heads=settings.heads,
        hidden_dim=settings.width,
        intermediate_dim=4 * settings.width,
        max_sequence_length=settings.sequence_length,
        dtype=settings.dtype,
    )
    preprocessor = keras_nlp.models.BertTextClassifierPreprocessor(
        tokenizer, sequence_length=settings.sequence_length
    )
    return keras_nlp.models.BertTextClassifier(
        backbone, num_classes=num_classes, preprocessor=preprocessor
    )
