"""Bounded staleness: workers compute on cached parameters, up to a bound."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tensorflow as tf
from typing_extensions import override

from tfps.optimizer.apply import PsOptimizer
from tfps.update.at_once import AtOnce
from tfps.update.effect import Effect
from tfps.update.gate import CachingGate, Gate
from tfps.update.ledger import NONE, Ledger, Rule
from tfps.update.policy import Policy, check_patience
from tfps.worker.cache import KEEP, Cache


@dataclasses.dataclass(frozen=True)
class BoundedStaleness(Policy):
    """Compute on cached parameters that miss no update older than a number of steps.

    Stale synchronous parallel (Ho et al. 2013, "More Effective Distributed ML via a Stale
    Synchronous Parallel Parameter Server"). Each gradient is pushed, and takes effect when it
    arrives. A worker pulls again when its cache could miss an update that is more than `steps`
    steps old, and waits while it is more than `steps` steps ahead of the slowest worker. Before it
    pulls, it waits until it is at most a quarter of `steps` ahead, so that the cache then serves
    for several steps. In the meantime the worker applies its own gradients to its cache, with slot
    variables of its own that start from those on the ps. Rows of tables are pulled in each step.

    In `history.updates` the staleness is the number of steps by which a cache may have lagged.

    Attributes:
        steps: the bound; with 0 all workers proceed in lockstep.
        patience_s: as in `Synchronous`.
    """

    steps: int
    patience_s: float = dataclasses.field(default=60.0, kw_only=True)

    def __post_init__(self) -> None:
        check_patience(self.patience_s)
        if self.steps < 0:
            raise ValueError(f"steps={self.steps!r}: give 0 or more.")

    @property
    @override
    def is_plain(self) -> bool:
        return False

    @override
    def effect(self, optimizer: PsOptimizer, num_workers: int) -> Effect:
        return AtOnce(optimizer, num_workers, confirms=True, counts_staleness=False)

    @override
    def gate(self, num_workers: int, make_cache: Callable[[], Cache]) -> Gate | None:
        return CachingGate(num_workers, NotAhead(self.steps, self.patience_s), make_cache())


@dataclasses.dataclass(frozen=True)
class NotAhead(Rule):
    """Starts a step if its cache is fresh enough, or if its worker is little ahead and pulls."""

    bound: int
    patience_s: float

    @override
    def may_start(self, ledger: Ledger) -> tf.Tensor:
        # The least clock never falls: whose cache is fresh enough is not too far ahead, either.
        return ~self.pulls(ledger) | (self._ahead(ledger) <= self.bound // 4)

    @override
    def pulls(self, ledger: Ledger) -> tf.Tensor:
        never = tf.equal(ledger.pulled_at, NONE)
        return never | (ledger.clock - ledger.pulled_at > self.bound)

    @override
    def answers(self, ledger: Ledger) -> tf.Tensor:
        keep = tf.constant(KEEP, tf.int64)
        return tf.where(self.pulls(ledger), self._ahead(ledger), keep)

    @override
    def lag(self, ledger: Ledger, start: tf.Tensor) -> tf.Tensor:
        return start

    def _ahead(self, ledger: Ledger) -> tf.Tensor:
        return ledger.clock - ledger.slowest()
