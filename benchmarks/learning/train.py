"""Training the model of models/gpt_lm.py on the cluster, from the same start each time."""

from __future__ import annotations

import dataclasses
import gc
import math
import time
from typing import TYPE_CHECKING

import tfps
from benchmarks.learning.contenders import Contender
from models import gpt_lm, recipe
from models.corpus import Corpus, standard_library, text_files
from models.gpt_lm import Settings
from models.vocabulary import Vocabulary, load_or_train

if TYPE_CHECKING:
    import keras

SGD_LEARNING_RATE = 0.1  # SGD with momentum learns less with 0.03, and with 0.3.
_MOMENTUM = 0.9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Text:
    """What is trained on, and held out.

    Attributes:
        corpus: The passages.
        vocabulary: The pieces that they are cut into.
    """

    corpus: Corpus
    vocabulary: Vocabulary

    @classmethod
    def read(cls, settings: Settings) -> Text:
        """Read what the recipe reads, and keep the vocabulary where it does."""
        corpus = text_files(settings.data) if settings.data else standard_library()
        folder = recipe.RUNS / ".vocabularies"
        return cls(
            corpus=corpus, vocabulary=load_or_train(corpus, settings.vocabulary_size, folder)
        )

    @property
    def unigram_loss(self) -> float:
        """What a model reaches that knows only how often each piece comes, in nats per token."""
        return math.log(self.vocabulary.unigram_perplexity(self.corpus.held_out))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """What one training has reached.

    Attributes:
        losses: The held-out loss after each epoch, in nats per token.
        pull_mb: Megabytes of parameters that a step sent from the ps, headers not counted.
        push_mb: Megabytes that a step sent to them.
        seconds: How long it took, with tracing and validation.
    """

    losses: list[float]
    pull_mb: float
    push_mb: float
    seconds: float


def train(contender: Contender, settings: Settings, text: Text) -> Curve:
    """Train on the cluster: the same initial weights and order of the data at each call.

    Which worker takes which step is not the same at each call, as updates are asynchronous.
    """
    import keras

    from models.blocks import Blocks

    started = time.perf_counter()
    strategy = tfps.ParameterServerStrategy(
        pull=contender.pull, push=contender.push, overlap=contender.overlap
    )
    keras.utils.set_random_seed(settings.seed)  # After what may draw when the cluster is connected.
    with strategy.scope():
        model = gpt_lm.make_model(settings, text.vocabulary.size)
        gpt_lm.compile_to_train(model, settings, optimizer(contender, settings))
    blocks = Blocks(text.vocabulary.model, settings.sequence_length, settings.batch_size)
    history = model.fit(
        blocks.training(text.corpus.train, seed=settings.seed),
        epochs=settings.epochs,
        steps_per_epoch=settings.steps_per_epoch,
        validation_data=blocks.held_out(text.corpus.held_out),
        verbose=0,
    )
    steps = settings.epochs * settings.steps_per_epoch
    pulled, pushed = (
        sum(sum(getattr(epoch, name)) for epoch in history.traffic) / steps / 1e6
        for name in ("pull_bytes", "push_bytes")
    )
    losses = [math.log(perplexity) for perplexity in history.history["val_perplexity"]]
    del model, strategy, history
    gc.collect()  # The ps free the variables when the chief has forgotten them.
    seconds = time.perf_counter() - started
    return Curve(losses=losses, pull_mb=pulled, push_mb=pushed, seconds=seconds)


def optimizer(contender: Contender, settings: Settings) -> keras.optimizers.Optimizer | None:
    """Make the contender's optimizer; None is the recipe's own, Adam."""
    import keras

    from models.late_gradients import schedule

    if contender.optimizer == "adam":
        return None
    return keras.optimizers.SGD(
        schedule(SGD_LEARNING_RATE, settings.epochs * settings.steps_per_epoch),
        momentum=_MOMENTUM if contender.optimizer == "sgd" else 0.0,
        global_clipnorm=gpt_lm.CLIP_NORM,
    )
