"""Training with one policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.learning import lesson
from benchmarks.learning.lesson import Curve, Lesson
from benchmarks.updates.contenders import Contender

if TYPE_CHECKING:
    import keras


def train(contender: Contender, what: Lesson, workers: int) -> Curve:
    """Train with the contender's policy and Adam, on the cluster or in this process.

    Args:
        contender: How to train.
        what: What to learn.
        workers: How many the cluster has.
    """
    if contender.make_update is None:
        return lesson.in_one_process(what, lambda: optimizer(contender, what), workers)
    return lesson.on_cluster(
        what, lambda: optimizer(contender, what), update=contender.make_update()
    )


def optimizer(contender: Contender, what: Lesson) -> keras.optimizers.Optimizer:
    """Make the contender's Adam, whose rate has fallen when all examples have been seen."""
    import keras

    from models.lib.training import schedule

    first, second = contender.betas
    iterations = max(1, what.steps // contender.batches)
    warmup = int(contender.warmup * iterations)
    return keras.optimizers.Adam(
        schedule(what.learning_rate * contender.rate, iterations, warmup),
        beta_1=first,
        beta_2=second,
        global_clipnorm=what.clip_norm,
    )
