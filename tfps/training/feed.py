"""The data on the workers: a dataset and an iterator on each."""

from __future__ import annotations

import abc
import threading
from typing import Any

import tensorflow as tf
from typing_extensions import override

from tfps.training.sources import Source

_ENDLESS = tf.data.INFINITE_CARDINALITY
_UNKNOWN = tf.data.UNKNOWN_CARDINALITY


class Feed(abc.ABC):
    """The batches of the workers.

    Only the thread of a worker uses that worker's part, under its device.

    Attributes:
        element_spec: the type of a batch, the same for all workers.
    """

    element_spec: Any

    @property
    @abc.abstractmethod
    def num_batches(self) -> int | None:
        """The number of batches that all workers read in an epoch; None if it is not known."""

    @abc.abstractmethod
    def check_finite(self) -> None:
        """Raise ValueError if the data of a worker is endless."""

    @abc.abstractmethod
    def start_epoch(self) -> None:
        """Have every worker read its data from the start at its next dispatch."""

    @abc.abstractmethod
    def iterator(self, worker: int, steps: int) -> Any:
        """Return the iterator of `worker`, for its next `steps` batches or more.

        None if there is no batch for it.
        """

    @abc.abstractmethod
    def first_batch(self, worker: int) -> Any:
        """Return a first batch of an epoch without using it up; None if there is none."""

    @abc.abstractmethod
    def count(self, worker: int, batches: int) -> int:
        """Count batches that `worker` has used.

        Returns:
            The number of the first of them, in the order of the data. With several, those that
            follow are not known.
        """

    def on_epoch_begin(self) -> None:  # noqa: B027
        """Prepare for an epoch."""

    def on_epoch_end(self) -> None:  # noqa: B027
        """Clean up after an epoch."""

    def give_back(self, worker: int) -> None:  # noqa: B027
        """Let others have the batches of `worker` that it was given and has not used."""

    def rebuild(self, worker: int) -> None:  # noqa: B027
        """Build the data of a lost worker again, once it is back."""


class ShareFeed(Feed):
    """The datasets and iterators of all workers, each of which reads its own share.

    Attributes:
        element_spec: None until `unify_types`.
    """

    def __init__(self, source: Source, num_workers: int) -> None:
        self._source = source
        self._building = threading.Lock()
        self._contexts = [
            tf.distribute.InputContext(
                num_input_pipelines=num_workers,
                input_pipeline_id=worker,
            )
            for worker in range(num_workers)
        ]
        self._datasets: list[tf.data.Dataset | None] = [None] * num_workers
        self._sizes = [_UNKNOWN] * num_workers
        self._iterators: list[Any] = [None] * num_workers
        self._iterators_made = [0] * num_workers
        self._batches_read = [0] * num_workers
        self._epoch = 0
        self._epoch_of = [0] * num_workers
        self.element_spec: Any = None

    @property
    @override
    def num_batches(self) -> int | None:
        if self._source.num_batches is not None or min(self._sizes) < 0:
            return self._source.num_batches
        return int(sum(self._sizes))

    def build(self, worker: int) -> None:
        """Build the dataset of `worker`; to be called under its device.

        Datasets are built one after the other: the workers' data functions and preprocessors run in
        this process, and need not be thread-safe.
        """
        with self._building:
            dataset = self._source.on_worker(self._contexts[worker])
        dataset = dataset.with_options(no_tuning())
        if self.element_spec is not None:
            dataset = retyped(dataset, self.element_spec)
        self._datasets[worker] = dataset
        self._sizes[worker] = int(dataset.cardinality())

    def unify_types(self) -> None:
        """Give the datasets of all workers, which are built by now, one type of batch.

        Raises:
            ValueError: if their batches differ in structure, dtype or rank.
        """
        datasets = [dataset for dataset in self._datasets if dataset is not None]
        specs = [tf.nest.flatten(dataset.element_spec) for dataset in datasets]
        common = [
            first.most_specific_common_supertype(rest) for first, *rest in zip(*specs, strict=False)
        ]
        if None in common or len({len(spec) for spec in specs}) != 1:
            raise ValueError(
                "The workers' datasets give batches of different types: "
                + "; ".join(f"worker {i}: {d.element_spec}" for i, d in enumerate(datasets))
            )
        self.element_spec = tf.nest.pack_sequence_as(datasets[0].element_spec, common)
        self._datasets = [retyped(dataset, self.element_spec) for dataset in datasets]

    @override
    def check_finite(self) -> None:
        for worker, size in enumerate(self._sizes):
            if size == _ENDLESS:
                raise ValueError(
                    f"The data of worker {worker} never ends. Say how many steps to run: "
                    "steps_per_epoch or validation_steps of fit, steps of evaluate or predict."
                )

    @override
    def start_epoch(self) -> None:
        self._epoch += 1

    @override
    def iterator(self, worker: int, steps: int) -> Any:
        if self._epoch_of[worker] != self._epoch:
            self._epoch_of[worker] = self._epoch
            self._iterators[worker] = None
            self._batches_read[worker] = 0
        if self._iterators[worker] is None:
            dataset = self._datasets[worker]
            assert dataset is not None
            self._iterators[worker] = iter(dataset)
            self._iterators_made[worker] += 1
        return self._iterators[worker]

    @override
    def first_batch(self, worker: int) -> Any:
        dataset = self._datasets[worker]
        assert dataset is not None
        self._iterators_made[worker] += 1
        first = iter(dataset).get_next_as_optional()
        return first.get_value() if first.has_value() else None

    @override
    def count(self, worker: int, batches: int) -> int:
        before = self._batches_read[worker]
        self._batches_read[worker] += batches
        return before * len(self._contexts) + worker

    @override
    def rebuild(self, worker: int) -> None:
        """Build the data of a lost worker again; to be called under its device once it is back.

        Finite data continues after the last batch whose result arrived; endless data starts again.
        """
        self.build(worker)
        self._iterators[worker] = None
        dataset = self._datasets[worker]
        assert dataset is not None
        if self._sizes[worker] != _ENDLESS and self._iterators_made[worker]:
            # A shuffle draws an order for each iterator; the other workers are at a later one.
            for _ in range(self._iterators_made[worker] - 1):
                iter(dataset)
            self._iterators[worker] = iter(dataset.skip(self._batches_read[worker]))


def no_tuning() -> tf.data.Options:
    """Return options that turn tf.data's tuning thread off; AUTOTUNE is then a fixed parallelism.

    That thread sometimes misses the end of its iterator, and sleeps on for up to a minute.
    Meanwhile the worker's TensorFlow server waits for it, and holds a lock that every call needs.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def retyped(dataset: tf.data.Dataset, spec: Any) -> tf.data.Dataset:
    """Return a dataset with another, compatible type of elements."""
    if dataset.element_spec == spec:
        return dataset
    return tf.data.experimental.from_variant(tf.data.experimental.to_variant(dataset), spec)
