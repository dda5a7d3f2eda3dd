"""What a trained text classifier leaves: how good it is, a preset, the same by plain Keras."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import keras_nlp
import numpy as np
import tensorflow as tf

from models import text_batches
from models.classification_report import ClassificationReport
from models.files import write_atomically
from models.labelled_texts import LabelledTexts
from models.progress import Progress
from models.report import Yardstick

if TYPE_CHECKING:
    from models.bert_classifier import Settings


def yardstick(data: LabelledTexts) -> Yardstick:
    """Measure by accuracy, beside that of always giving the most frequent class."""
    return Yardstick(
        metric="accuracy",
        baseline="most frequent class",
        baseline_value=data.most_frequent_accuracy,
        loss_unit="nats per text",
    )


def measure(
    model: keras_nlp.models.BertTextClassifier, data: LabelledTexts, settings: Settings
) -> ClassificationReport:
    """Let a model classify the held-out texts, where its weights lie."""
    texts = np.array(data.held_out.texts, dtype=object)
    logits = np.asarray(model.predict(texts, batch_size=settings.batch_size, verbose=0))
    return ClassificationReport.of(data.classes, data.held_out.labels, logits.argmax(axis=-1))


def leave_preset(
    model: keras_nlp.models.BertTextClassifier,
    copy: keras_nlp.models.BertTextClassifier,
    folder: Path,
) -> None:
    """Save a model in the form that keras-nlp's `from_preset` takes.

    Args:
        model: The model.
        copy: Another one like it, whose variables lie in this process.
        folder: Where to save; LoRA is merged into the weights there.
    """
    copy.set_weights(model.get_weights())
    copy.save_to_preset(str(folder))


def leave_comparison(
    model: keras_nlp.models.BertTextClassifier,
    report: ClassificationReport,
    data: LabelledTexts,
    settings: Settings,
    file: Path,
) -> None:
    """Train an equal model by plain Keras in this process, print and keep what it reaches.

    Args:
        model: The equal model, untrained; its variables lie in this process.
        report: What was reached on the cluster, on as many texts.
        data: The texts.
        settings: Of the run.
        file: Where to keep the comparison.
    """
    steps, batch_size = settings.steps_per_epoch(data), settings.batch_size
    texts = settings.epochs * steps * batch_size
    print(f"training by plain Keras in one process on {texts:,} texts too", flush=True)
    batches = text_batches.training(data.train, batch_size=batch_size, seed=settings.seed)
    model.fit(
        batches(tf.distribute.InputContext()),
        epochs=settings.epochs,
        steps_per_epoch=steps,
        shuffle=False,  # They are shuffled already.
        callbacks=[
            Progress(epochs=settings.epochs, steps_per_epoch=steps, examples_per_step=batch_size)
        ],
        verbose=0,
    )
    lines = [
        f"after {texts:,} texts:",
        f"  tfps         {report.headline}",
        f"  plain Keras  {measure(model, data, settings).headline}",
    ]
    print("\n".join(lines), flush=True)
    write_atomically(file, "".join(f"{line}\n" for line in lines).encode())
