"""A small model on workers some of which a sleep before each batch slows down."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tfps

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from tfps.training.history import Updates
    from tfps.update import Policy

DatasetFunction = Callable[["tf.distribute.InputContext"], "tf.data.Dataset"]
FEATURES = 64
BATCH = 8
SLOWED_WORKER = 0
_UNITS = 256
_WARM_UP_STEPS = 40
_STEPS_PER_DISPATCH = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Speeds:
    """The time that workers sleep before a batch.

    Attributes:
        batch_ms: Of a worker that is not slowed.
        times: As many times as long takes a slowed one.
    """

    batch_ms: float
    times: float

    def one_slowed(self) -> DatasetFunction:
        """Return data that make one worker slow, always the same."""
        return lambda context: self._batches(context, slowed=_is_slowed(context))

    def by_chance(self, chance: float) -> DatasetFunction:
        """Return data that make each worker slow now and then.

        Args:
            chance: The share of batches that are slow.
        """

        def make_dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
            import tensorflow as tf

            each = [self._batches(context, slowed=slowed) for slowed in (False, True)]
            draws = tf.data.Dataset.random(seed=context.input_pipeline_id)
            choices = draws.map(lambda draw: tf.cast(draw % 1000 < int(1000 * chance), tf.int64))
            return tf.data.Dataset.choose_from_datasets(each, choices)

        return make_dataset

    def without_slowed(self) -> DatasetFunction:
        """Return data that the slowed worker has none of."""
        return lambda context: self._batches(context, slowed=False).take(
            0 if _is_slowed(context) else -1
        )

    def _batches(self, context: tf.distribute.InputContext, *, slowed: bool) -> tf.data.Dataset:
        milliseconds = self.batch_ms * (self.times if slowed else 1)
        return _sleeping(_random_batches(context), round(1000 * milliseconds))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """The measurements of one training.

    Attributes:
        updates: The updates, and how long workers waited.
        steps: How many there were, those of all workers together.
        pull_bytes: What the ps sent to the workers.
    """

    updates: Updates
    steps: int
    pull_bytes: int

    @property
    def updates_per_s(self) -> float:
        """Updates in a second."""
        return self.updates.updates / self.updates.seconds

    @property
    def waiting_s(self) -> float:
        """How long a worker waited, the mean of all."""
        return float(self.updates.waited_s.mean())

    @property
    def waiting_percent(self) -> float:
        """Of its time a worker waited, the mean of all."""
        return 100 * self.waiting_s / self.updates.seconds

    @property
    def pull_kb_per_step(self) -> float:
        """Kilobytes of parameters that a step sent from the ps, headers not counted."""
        return self.pull_bytes / self.steps / 1e3


class Trained:
    """A model with one update policy, whose variables lie on the ps."""

    def __init__(self, update: Policy, data: DatasetFunction, steps_per_execution: int = 1) -> None:
        """Build the model, and run some steps, so that all functions are traced.

        Args:
            update: When updates take effect.
            data: What it trains on.
            steps_per_execution: Steps that a worker runs in one dispatch.
        """
        self._data = data
        with tfps.ParameterServerStrategy(update=update).scope():
            self._model = _make_model(steps_per_execution)
        self.train(_WARM_UP_STEPS)

    def train(self, steps: int) -> Found:
        """Train for some steps, those of all workers together."""
        history = self._model.fit(self._data, steps_per_epoch=steps, verbose=0)
        [updates], [traffic] = history.updates, history.traffic
        return Found(updates=updates, steps=steps, pull_bytes=sum(traffic.pull_bytes))


def train(update: Policy, data: DatasetFunction, *, steps: int, workers: int) -> Found:
    """Train a new model, and release it.

    Where no worker may be far ahead of others, each has its share of the steps in one dispatch:
    between two, the chief would hold those ahead back, and it measures no waiting. Elsewhere a
    dispatch is short, so that all workers are done at about the same time.
    """
    in_step = isinstance(update, tfps.update.BoundedStaleness)
    together = max(1, steps // workers) if in_step else _STEPS_PER_DISPATCH
    found = Trained(update, data, together).train(steps)
    gc.collect()  # The ps free the variables when the chief has forgotten them.
    return found


def _is_slowed(context: tf.distribute.InputContext) -> bool:
    return bool(context.input_pipeline_id == SLOWED_WORKER)


def _make_model(steps_per_execution: int) -> keras.Model:
    import keras

    model = keras.Sequential(
        [
            keras.Input((FEATURES,)),
            keras.layers.Dense(_UNITS, activation="gelu"),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.SGD(1e-3), "mse", steps_per_execution=steps_per_execution)
    return model


def _random_batches(context: tf.distribute.InputContext) -> tf.data.Dataset:
    """Make the endless dataset of one worker: `(BATCH, FEATURES)` float32, and targets."""
    import tensorflow as tf

    def batch(number: Any) -> tuple[Any, Any]:
        seed = tf.stack([tf.cast(context.input_pipeline_id, tf.int64), number])
        x = tf.random.stateless_normal([BATCH, FEATURES], seed)
        return x, tf.reduce_sum(x, axis=1, keepdims=True)

    return tf.data.Dataset.counter().map(batch)


def _sleeping(dataset: tf.data.Dataset, microseconds: int) -> tf.data.Dataset:
    """Return a dataset that sleeps before each element."""
    import tensorflow as tf

    spec = dataset.element_spec
    flat = tf.nest.flatten(spec)
    variant = tf.raw_ops.SleepDataset(
        input_dataset=tf.data.experimental.to_variant(dataset),
        sleep_microseconds=tf.constant(microseconds, tf.int64),
        output_types=[one.dtype for one in flat],
        output_shapes=[one.shape for one in flat],
    )
    return tf.data.experimental.from_variant(variant, spec)
