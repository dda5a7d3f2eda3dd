"""The model of models/gpt_lm.py and its text, as a lesson."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from benchmarks.learning.lesson import Lesson, Scale
from models import gpt_lm
from models.gpt_lm import Settings
from models.lib import recipe
from models.lib.corpus import Corpus, standard_library, text_files
from models.lib.vocabulary import Vocabulary, load_or_train

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True, kw_only=True)
class Text:
    """A corpus and its vocabulary.

    Attributes:
        corpus: The passages.
        vocabulary: The pieces that they are cut into.
    """

    corpus: Corpus
    vocabulary: Vocabulary

    @classmethod
    def read(cls, settings: Settings) -> Text:
        """Read the recipe's corpus, and cache the vocabulary where the recipe does."""
        corpus = text_files(settings.data) if settings.data else standard_library()
        folder = recipe.RUNS / ".vocabularies"
        return cls(
            corpus=corpus, vocabulary=load_or_train(corpus, settings.vocabulary_size, folder)
        )

    @property
    def scale(self) -> Scale:
        """The unit of the loss, with the unigram distribution as baseline."""
        return Scale(
            unit="nats per token",
            baseline="unigram distribution",
            baseline_loss=math.log(self.vocabulary.unigram_perplexity(self.corpus.held_out)),
        )


def lesson(settings: Settings, text: Text) -> Lesson:
    """Return the recipe's model and data as a lesson."""
    import keras

    from models.lib.gpt import Blocks

    def make_model(optimizer: keras.optimizers.Optimizer | None) -> keras.Model:
        # After what may draw when the cluster is connected.
        keras.utils.set_random_seed(settings.seed)
        model = gpt_lm.make_model(settings, text.vocabulary.size)
        gpt_lm.compile_to_train(model, settings, optimizer)
        return model

    blocks = Blocks(text.vocabulary.model, settings.sequence_length, settings.batch_size)
    return Lesson(
        title=f"{text.corpus.name}: {settings.epochs * settings.steps_per_epoch:,} steps of "
        f"{settings.batch_size} x {settings.sequence_length} tokens, {text.vocabulary.size} pieces",
        scale=text.scale,
        epochs=settings.epochs,
        steps_per_epoch=settings.steps_per_epoch,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        clip_norm=gpt_lm.CLIP_NORM,
        make_model=make_model,
        training=blocks.training(text.corpus.train, seed=settings.seed),
        held_out=blocks.held_out(text.corpus.held_out),
        losses=losses,
    )


def losses(history: keras.callbacks.History) -> list[float]:
    """Return the held-out loss after each epoch, in nats per token."""
    return [math.log(perplexity) for perplexity in history.history["val_perplexity"]]
