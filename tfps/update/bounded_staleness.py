"""Bounded staleness: workers compute on what they have pulled before, up to a bound."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tensorflow as tf
from typing_extensions import override

from tfps.optimizer.apply import Optimizer
from tfps.update.at_once import AtOnce
from tfps.update.effect import Effect
from tfps.update.gate import CachingGate, Gate
from tfps.update.ledger import NONE, Ledger, Rule
from tfps.update.policy import Policy, check_patience
from tfps.worker.cache import KEEP, Cache


@dataclasses.dataclass(frozen=True)
class BoundedStaleness(Policy):
    """Compute on cached parameters that lack no update older than a number of steps.

    Stale synchronous parallel (Ho et al. 2013, "More Effective Distributed ML via a Stale
    Synchronous Parallel Parameter Server"). Each gradient is pushed, and takes effect when it
    arrives. A worker pulls again when its cache could lack an update of more than `steps` steps
    ago, and waits while it is more than `steps` steps ahead of the slowest. Before it pulls, it
    waits until it is no more than a quarter of that ahead: what is pulled then serves for several
    steps. Its cache follows its own gradients meanwhile, by slot variables of its own; they begin
    with those on the ps. Rows of tables are pulled in each step.

    `history.updates` has the staleness in steps: by how many its cache may have lagged.

    Attributes:
        steps: the bound; 0 has all workers go in step.
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
    def effect(self, optimizer: Optimizer, num_workers: int) -> Effect:
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
    def tells(self, ledger: Ledger) -> tf.Tensor:
        keep = tf.constant(KEEP, tf.int64)
        return tf.where(self.pulls(ledger), self._ahead(ledger), keep)

    @override
    def lag(self, ledger: Ledger, began: tf.Tensor) -> tf.Tensor:
        return began

    def _ahead(self, ledger: Ledger) -> tf.Tensor:
        return ledger.clock - ledger.slowest()
