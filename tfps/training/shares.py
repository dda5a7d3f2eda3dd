"""Data that the workers read: in shares, each of which one worker at a time has."""

from __future__ import annotations

import dataclasses
import threading
import warnings
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from typing_extensions import override

from tfps.training.feed import Feed
from tfps.training.sources import FunctionSource, no_tuning


@dataclasses.dataclass
class _Share:
    """A part of the data that one worker at a time reads.

    Attributes:
        number: its number.
        worker: the worker that it is kept for; None if any may read it.
        batches: how many of its batches were used in this epoch.
        in_flight: how many more are being used.
    """

    number: int
    worker: int | None = None
    batches: int = 0
    in_flight: int = 0


@dataclasses.dataclass
class _Built:
    """The dataset of a share on a worker.

    Attributes:
        dataset: the dataset.
        iterators: how many iterators over it were made.
    """

    dataset: tf.data.Dataset
    iterators: int = 0

    def iterator(self, share: _Share, number: int, most: int | None) -> Any:
        """Return the iterator of this number, from 1 on, over what was not used in this epoch.

        Endless data starts again. Of other data there are `most` batches at the most.
        """
        # A shuffle draws an order for each iterator, and all shares are to be in the same order.
        for _ in range(number - 1 - self.iterators):
            iter(self.dataset)
        self.iterators = number
        dataset = self.dataset if most is None else self.dataset.take(most)
        if share.batches and dataset.cardinality() != tf.data.INFINITE_CARDINALITY:
            dataset = dataset.skip(share.batches)
        return iter(dataset)


class ShareFeed(Feed):
    """Data in shares, each of which one worker at a time reads.

    A worker that has read its share takes the next one. A worker that is lost gives its share
    back, of which others read what was not used.

    Attributes:
        element_spec: None until `unify_types`.
    """

    def __init__(self, source: FunctionSource, num_workers: int) -> None:
        """Cut the data into shares: as many as the source says, or one for each worker."""
        super().__init__()
        self._source = source
        self._num_shares = source.shares or num_workers
        self._iterators_before = 0  # the first epoch
        self._most: dict[int, int] = {}  # of the batches of each share, if not all are read
        self._changing = threading.Lock()
        self._building = threading.Lock()
        self._built: list[dict[int, _Built]] = [{} for _ in range(num_workers)]
        self._epoch = 0
        self._sizes: dict[int, int] = {}
        self.element_spec: Any = None
        self.start_epoch()

    @property
    @override
    def num_batches(self) -> int | None:
        sizes = self._most or self._sizes
        if len(sizes) < self._num_shares or min(sizes.values()) < 0:
            return None
        return sum(sizes.values())

    @property
    @override
    def may_leave_some(self) -> bool:
        return bool(self._most) and any(size < 0 for size in self._sizes.values())

    def build(self, worker: int) -> None:
        """Build the first share of `worker`; to be called under its device."""
        if worker < self._num_shares:
            self._of(worker, worker)

    def _of(self, worker: int, share: int) -> _Built:
        """Return the dataset of a share on a worker; to be called under its device.

        Datasets are built one after the other: the workers' data functions and preprocessors run in
        this process, and need not be thread-safe.
        """
        built = self._built[worker]
        if share not in built:
            context = tf.distribute.InputContext(self._num_shares, share)
            with self._building:
                dataset = self._source.on_worker(context).with_options(no_tuning())
            if self.element_spec is not None:
                dataset = self._retyped(dataset, share)
            built[share] = _Built(dataset)
            self._sizes[share] = int(dataset.cardinality())
            if self._num_shares > len(self._built):
                self._check_ends(share)
        return built[share]

    def _check_ends(self, share: int) -> None:
        if self._sizes[share] == tf.data.INFINITE_CARDINALITY:
            raise ValueError(
                f"Share {share} of {self._num_shares} never ends, so the {len(self._built)} "
                "workers would not come to read all shares. Let the function return data that ends."
            )

    def unify_types(self) -> None:
        """Give the datasets of all workers, which are built by now, one type of batch.

        Raises:
            ValueError: if their batches differ in structure, dtype or rank.
        """
        several = [built for of_worker in self._built for built in of_worker.values()]
        given = [built.dataset.element_spec for built in several]
        common = _common(given)
        if common is None:
            raise ValueError(
                "The workers' datasets give batches of different types: "
                + "; ".join(f"worker {i}: {spec}" for i, spec in enumerate(given))
            )
        self.element_spec = common
        for built in several:
            built.dataset = _retyped(built.dataset, self.element_spec)
        if self._source.batches is not None:
            self._most = _first(self._source.batches, self._sizes, self._num_shares)

    def _retyped(self, dataset: tf.data.Dataset, share: int) -> tf.data.Dataset:
        if _common([self.element_spec, dataset.element_spec]) is None:
            raise ValueError(
                f"Share {share} of the data gives batches of type {dataset.element_spec}; the "
                f"shares before it gave {self.element_spec}."
            )
        return _retyped(dataset, self.element_spec)

    @override
    def check_finite(self) -> None:
        for share, size in (self._most or self._sizes).items():
            if size == tf.data.INFINITE_CARDINALITY:
                raise ValueError(
                    f"The data of worker {share} never ends. Say how many steps to run: "
                    "steps_per_epoch or validation_steps of fit, steps of evaluate or predict."
                )

    @override
    def start_epoch(self) -> None:
        with self._changing:
            self._epoch += 1
            self._used = 0
            workers = len(self._built)
            self._left = [
                _Share(number, number if number < workers else None)
                for number in range(self._num_shares)
            ]
            self._shares: list[_Share | None] = [None] * workers
            self._iterators: list[Any] = [None] * workers

    @override
    def iterator(self, worker: int, steps: int) -> tuple[Any, int]:
        if self._iterators[worker] is None:
            with self._changing:
                share = self._shares[worker] = self._next(worker)
            if share is None:
                return None, 0
            built = self._of(worker, share.number)
            self._iterators[worker] = built.iterator(
                share, self._epoch + self._iterators_before, self._most.get(share.number)
            )
        share = self._shares[worker]
        assert share is not None
        share.in_flight = steps
        return self._iterators[worker], steps

    def _next(self, worker: int) -> _Share | None:
        """Take a share: best the worker's own or one that it has built, and else the next."""

        def rank(share: _Share) -> tuple[bool, bool]:
            return share.worker != worker, share.number not in self._built[worker]

        free = [share for share in self._left if share.worker in (None, worker)]
        if not free:
            return None
        share = min(free, key=rank)
        self._left.remove(share)
        return share

    @override
    def first_batch(self, worker: int) -> Any:
        built = self._of(worker, worker % self._num_shares)
        built.iterators = self._iterators_before = 1
        first = iter(built.dataset).get_next_as_optional()
        return first.get_value() if first.has_value() else None

    @override
    def count(self, worker: int, batches: int, *, at_end: bool) -> int:
        with self._changing:
            share = self._shares[worker]
            assert share is not None
            before = share.batches
            share.batches += batches
            share.in_flight = 0
            self._used += batches
            self.reading.used += batches
            if at_end:
                self._shares[worker] = self._iterators[worker] = None
        return before * self._num_shares + share.number

    @override
    def position(self, write: Callable[[Any], None]) -> dict[str, Any]:
        with self._changing:
            left = [*self._left, *(share for share in self._shares if share is not None)]
            shares = {share.number: share.batches for share in left}
            return {
                "epoch": self._epoch,
                "shares": shares,
                "of": self._num_shares,
                "used": self._used,
            }

    @override
    def go_to(self, position: dict[str, Any], restore: Callable[[Any], None] | None) -> bool:
        if position["of"] != self._num_shares:
            warnings.warn(
                f"The epoch begins anew: its data had {position['of']} shares, and has "
                f"{self._num_shares} now. With tfps.Data(function, shares) their number does not "
                "depend on the number of workers.",
                stacklevel=2,
            )
            return False
        self.start_epoch()
        self._epoch, self._used = position["epoch"], position["used"]
        left = {int(number): batches for number, batches in position["shares"].items()}
        self._left = [share for share in self._left if share.number in left]
        for share in self._left:
            share.batches = left[share.number]
        return True

    @override
    def give_back(self, worker: int) -> None:
        with self._changing:
            share = self._shares[worker]
            self._shares[worker] = self._iterators[worker] = None
            self._built[worker] = {}
            if share is not None:
                self.reading.seen_twice += share.in_flight
                share.in_flight = 0
                self._left.insert(0, share)
            for share in self._left:
                share.worker = None if share.worker == worker else share.worker


def _first(batches: int, sizes: dict[int, int], num_shares: int) -> dict[int, int]:
    """Return how many batches of each share are among the first of all.

    They are the first of each share, the second of each, and so on. Where the size of a share is
    not known, each is taken to have enough.
    """
    endless = tf.data.INFINITE_CARDINALITY
    if len(sizes) < num_shares or any(s < 0 and s != endless for s in sizes.values()):
        return {share: len(range(share, batches, num_shares)) for share in range(num_shares)}
    left = {share: batches if size == endless else size for share, size in sizes.items()}
    most = dict.fromkeys(left, 0)
    while batches and (shares := [share for share in sorted(left) if left[share] > most[share]]):
        rounds = max(1, min(batches // len(shares), min(left[s] - most[s] for s in shares)))
        for share in shares[:batches]:
            most[share] += rounds
            batches -= rounds
    return most


def _common(specs: list[Any]) -> Any:
    """Return a type for batches of all these types; None if structures, dtypes or ranks differ."""
    try:
        for spec in specs:
            tf.nest.assert_same_structure(specs[0], spec)
    except (TypeError, ValueError):
        return None
    leaves = []
    for alike in zip(*map(tf.nest.flatten, specs), strict=True):
        leaf = alike[0].most_specific_common_supertype(alike[1:])
        ranks = {s.shape.rank for s in (leaf, *alike) if isinstance(s, tf.TensorSpec)}
        if leaf is None or len(ranks) > 1:
            return None
        leaves.append(leaf)
    return tf.nest.pack_sequence_as(specs[0], leaves)


def _retyped(dataset: tf.data.Dataset, spec: Any) -> tf.data.Dataset:
    """Return a dataset with another, compatible type of elements."""
    if dataset.element_spec == spec:
        return dataset
    return tf.data.experimental.from_variant(tf.data.experimental.to_variant(dataset), spec)
