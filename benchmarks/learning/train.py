"""Training with one format on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.learning import lesson
from benchmarks.learning.contenders import Contender
from benchmarks.learning.lesson import Curve, Lesson

if TYPE_CHECKING:
    import keras

SGD_LEARNING_RATE = 0.1  # SGD with momentum learns less with 0.03, and with 0.3.
_MOMENTUM = 0.9


def train(contender: Contender, what: Lesson) -> Curve:
    """Train on the cluster, with the contender's formats and optimizer."""
    return lesson.on_cluster(
        what,
        lambda: optimizer(contender, what),
        pull=contender.pull,
        push=contender.push,
        overlap=contender.overlap,
    )


def optimizer(contender: Contender, what: Lesson) -> keras.optimizers.Optimizer | None:
    """Make the contender's optimizer; None is the recipe's own, Adam."""
    import keras

    from models.lib.training import schedule

    if contender.optimizer == "adam":
        return None
    return keras.optimizers.SGD(
        schedule(SGD_LEARNING_RATE, what.steps),
        momentum=_MOMENTUM if contender.optimizer == "sgd" else 0.0,
        global_clipnorm=what.clip_norm,
    )
