"""Data that the chief reads, and deals out to whichever worker asks next."""

from __future__ import annotations

import collections
import functools
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import tensorflow as tf
from typing_extensions import override

from tfps.params.placement import CHIEF_DEVICE
from tfps.training.feed import Feed, no_tuning, retyped
from tfps.training.sources import ChiefSource


class DealtFeed(Feed):
    """Batches that are read one after the other, and sent to the worker that runs their step.

    The chief keeps a batch until its step has been reported. So if a worker is lost, others get
    its batches.
    """

    def __init__(
        self, batches: Iterable[Any], element_spec: Any, source: ChiefSource | None = None
    ) -> None:
        """Take the data.

        Args:
            batches: gives the batches of an epoch, structures of tensors on the chief.
            element_spec: the type of a batch.
            source: where they come from; None if they are a list.
        """
        self.element_spec = element_spec
        self._all = batches
        self._source = source
        self._reading = threading.Lock()
        self.start_epoch()

    @classmethod
    def of_source(cls, source: ChiefSource) -> DealtFeed:
        """Return a feed of the batches of a source."""
        dataset = source.dataset.with_options(no_tuning())
        return cls(dataset, dataset.element_spec, source)

    @classmethod
    def of_one(cls, batch: Any, element_spec: Any) -> DealtFeed:
        """Return a feed of one batch."""
        return cls([batch], element_spec)

    @property
    @override
    def num_batches(self) -> int | None:
        return 1 if self._source is None else self._source.num_batches

    @override
    def check_finite(self) -> None:
        """Endless Python data looks like any other; a callback may end it."""

    @override
    def on_epoch_begin(self) -> None:
        if self._source is not None:
            self._source.on_epoch_begin()

    @override
    def on_epoch_end(self) -> None:
        if self._source is not None:
            self._source.on_epoch_end()

    @override
    def start_epoch(self) -> None:
        self._batches: Iterator[tuple[int, Any]] | None = None
        self._returned: collections.deque[tuple[int, Any]] = collections.deque()
        self._given: collections.defaultdict[int, collections.deque[tuple[int, Any]]] = (
            collections.defaultdict(collections.deque)
        )

    @override
    def iterator(self, worker: int, steps: int) -> Any:
        given = self._given[worker]
        while len(given) < steps and (batch := self._next()) is not None:
            given.append(batch)
        if not given:
            return None
        dataset = _dataset([batch for _, batch in given], self.element_spec)
        return iter(dataset.with_options(no_tuning()))

    @override
    def first_batch(self, worker: int) -> Any:
        batch = self._next()
        if batch is None:
            return None
        self._returned.appendleft(batch)
        return tf.nest.map_structure(_copy, batch[1], expand_composites=True)

    @override
    def count(self, worker: int, batches: int) -> int:
        numbers = [self._given[worker].popleft()[0] for _ in range(batches)]
        return numbers[0] if numbers else 0

    @override
    def give_back(self, worker: int) -> None:
        while self._given[worker]:
            self._returned.appendleft(self._given[worker].pop())

    def _next(self) -> tuple[int, Any] | None:
        """Return the next batch and its number; None if there is none."""
        with self._reading:
            if self._returned:
                return self._returned.popleft()
            with tf.device(CHIEF_DEVICE):
                if self._batches is None:
                    self._batches = enumerate(self._all)
                return next(self._batches, None)


def _copy(tensor: tf.Tensor | None) -> tf.Tensor | None:
    return tensor if tensor is None else tf.identity(tensor)


def _dataset(batches: Sequence[Any], element_spec: Any) -> tf.data.Dataset:
    """Return a dataset of these batches, on the device where this is called."""
    pieces = [tf.data.Dataset.from_tensors(batch) for batch in batches]
    while len(pieces) > 1:  # not in a chain, which would be deep
        pairs = [pieces[i : i + 2] for i in range(0, len(pieces), 2)]
        pieces = [functools.reduce(lambda a, b: a.concatenate(b), pair) for pair in pairs]
    return retyped(pieces[0], element_spec)
