"""What is learned, on the cluster or in one process, and the curve that comes of it."""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import tfps

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from tfps.training.history import Updates

DatasetFunction = Callable[["tf.distribute.InputContext"], "tf.data.Dataset"]
MakeOptimizer = Callable[[], "keras.optimizers.Optimizer | None"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale:
    """How a loss is to be read.

    Attributes:
        unit: Its unit.
        baseline: What knows nothing but how often each answer comes.
        baseline_loss: What that reaches.
    """

    unit: str
    baseline: str
    baseline_loss: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lesson:
    """A model, and the data that it is trained on and tested with.

    Attributes:
        title: What they are, for a reader.
        scale: How the losses are to be read.
        epochs: After each, the held-out loss is measured.
        steps_per_epoch: Steps in an epoch, those of all workers together.
        batch_size: Examples in a step.
        learning_rate: The highest of Adam's.
        clip_norm: The largest norm of all gradients together.
        make_model: Makes the compiled model with an optimizer, which None leaves to the recipe; it
            has the same initial weights at each call.
        training: Makes the endless data of a worker, in the same order at each call.
        held_out: Makes the held-out data of a worker.
        losses: Reads the held-out loss after each epoch from a history.
    """

    title: str
    scale: Scale
    epochs: int
    steps_per_epoch: int
    batch_size: int
    learning_rate: float
    clip_norm: float
    make_model: Callable[[keras.optimizers.Optimizer | None], keras.Model]
    training: DatasetFunction
    held_out: DatasetFunction
    losses: Callable[[keras.callbacks.History], list[float]]

    @property
    def steps(self) -> int:
        """Steps of a training."""
        return self.epochs * self.steps_per_epoch

    @property
    def examples(self) -> list[int]:
        """Number of examples trained on by the end of each epoch."""
        in_epoch = self.steps_per_epoch * self.batch_size
        return [in_epoch * (epoch + 1) for epoch in range(self.epochs)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """What one training has reached.

    Attributes:
        losses: The held-out loss after each epoch.
        pull_mb: Megabytes of parameters that a step sent from the ps, headers not counted.
        push_mb: Megabytes that a step sent to them.
        seconds: How long it took, with tracing and validation.
        updates: Of each epoch; none in one process.
    """

    losses: list[float]
    pull_mb: float
    push_mb: float
    seconds: float
    updates: Sequence[Updates] = ()

    def __str__(self) -> str:
        """Say the losses."""
        losses = " ".join(f"{loss:.4f}" for loss in self.losses)
        return f"{losses} ({self.seconds:.0f} s)"


def on_cluster(lesson: Lesson, make_optimizer: MakeOptimizer, **arguments: Any) -> Curve:
    """Train on the cluster: the same initial weights and order of the data at each call.

    Which worker takes which step is not the same at each call where updates are asynchronous.

    Args:
        lesson: What to learn.
        make_optimizer: Called in the strategy's scope.
        arguments: Of the strategy.
    """
    started = time.perf_counter()
    strategy = tfps.ParameterServerStrategy(**arguments)
    with strategy.scope():
        model = lesson.make_model(make_optimizer())
    history = _fit(model, lesson, lesson.training, lesson.held_out)
    pulled, pushed = (
        sum(sum(getattr(epoch, name)) for epoch in history.traffic) / lesson.steps / 1e6
        for name in ("pull_bytes", "push_bytes")
    )
    losses, updates = lesson.losses(history), tuple(history.updates)
    del model, strategy, history
    gc.collect()  # The ps free the variables when the chief has forgotten them.
    seconds = time.perf_counter() - started
    return Curve(losses=losses, pull_mb=pulled, push_mb=pushed, seconds=seconds, updates=updates)


def in_one_process(lesson: Lesson, make_optimizer: MakeOptimizer, workers: int) -> Curve:
    """Train by plain Keras in this process, one step after another.

    Args:
        lesson: What to learn.
        make_optimizer: Called once.
        workers: Whose batches to take in turn, as many and in the same order as they would.
    """
    import tensorflow as tf

    # Comes first: functions traced before the cluster is there cause noise when they are freed.
    tfps.ParameterServerStrategy()
    started = time.perf_counter()
    model = lesson.make_model(make_optimizer())
    history = _fit(
        model,
        lesson,
        in_turn(lesson.training, workers),
        lesson.held_out(tf.distribute.InputContext()),
    )
    return Curve(
        losses=lesson.losses(history),
        pull_mb=0.0,
        push_mb=0.0,
        seconds=time.perf_counter() - started,
    )


def in_turn(make_dataset: DatasetFunction, workers: int) -> tf.data.Dataset:
    """Return the batches of several workers, one of each in turn."""
    import tensorflow as tf

    each = [make_dataset(tf.distribute.InputContext(workers, worker)) for worker in range(workers)]
    return tf.data.Dataset.choose_from_datasets(each, tf.data.Dataset.range(workers).repeat())


def order(names: Sequence[str], repeats: int, alone: str, alone_repeats: int) -> list[str]:
    """Return the order of trainings: all contenders in each round, then one of them alone.

    Args:
        names: All of them.
        repeats: Rounds.
        alone: Whose turns come last, if it is one of them.
        alone_repeats: How many turns it has at least, in all.
    """
    more = alone_repeats - repeats if alone in names else 0
    return [*names] * repeats + [alone] * more


def _fit(
    model: keras.Model, lesson: Lesson, training: object, held_out: object
) -> keras.callbacks.History:
    return model.fit(
        training,
        epochs=lesson.epochs,
        steps_per_epoch=lesson.steps_per_epoch,
        validation_data=held_out,
        shuffle=False,  # They are shuffled already.
        verbose=0,
    )
