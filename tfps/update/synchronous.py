"""Synchronous updates: one update of the mean of all workers' gradients."""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf
from typing_extensions import override

from tfps.optimizer.apply import PsOptimizer
from tfps.optimizer.limits import check_updates_per_ps
from tfps.update.by_rule import ByRule
from tfps.update.effect import Effect
from tfps.update.ledger import Ledger, Rule
from tfps.update.policy import Policy, check_patience


@dataclasses.dataclass(frozen=True)
class Synchronous(Policy):
    """Apply the mean of one gradient from each worker, all computed on the same version.

    No worker starts its next step before the update. With backup workers, an update takes the
    gradients that arrive first; later ones are dropped and counted, and never used for a later
    version (Chen et al. 2016, "Revisiting Distributed Synchronous SGD"). Each ps counts for itself,
    so the gradients that arrive first may differ between ps.

    Updates do not wait for workers that are lost or have no more data.

    Attributes:
        backup_workers: the number of workers that an update does not wait for.
        patience_s: the longest time, in seconds, that updates wait for a worker that is silent but
            still connected, or ten times the longest step if that is more. Then updates go on
            without the worker, with a warning, until it pushes again.
    """

    backup_workers: int = 0
    patience_s: float = dataclasses.field(default=60.0, kw_only=True)

    def __post_init__(self) -> None:
        check_patience(self.patience_s)
        if self.backup_workers < 0:
            raise ValueError(f"backup_workers={self.backup_workers!r}: give 0 or more.")

    @override
    def check_cluster(self, num_workers: int) -> None:
        if self.backup_workers >= num_workers:
            raise ValueError(
                f"backup_workers={self.backup_workers!r}: the cluster has {num_workers} workers, "
                f"and an update needs one at least. Give {num_workers - 1} or less."
            )

    @override
    def check_optimizer(
        self, optimizer: keras.optimizers.Optimizer, *, lazy_rows: bool = True
    ) -> None:
        check_updates_per_ps(optimizer)

    @override
    def effect(self, optimizer: PsOptimizer, num_workers: int) -> Effect:
        quorum = num_workers - self.backup_workers
        return ByRule(optimizer, num_workers, MeanOfEach(quorum, num_workers, self.patience_s))

    @override
    def share(self, num_workers: int) -> float:
        return 1.0  # gradients that come later do not count


@dataclasses.dataclass(frozen=True)
class MeanOfEach(Rule):
    """Collects one gradient from each of `quorum` workers, or of all that take part."""

    quorum: int
    workers: int
    patience_s: float

    @property
    @override
    def in_step(self) -> bool:
        return self.quorum == self.workers

    @override
    def counts(self, ledger: Ledger, worker: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
        # A worker that was lost and is back may have pushed for this version before.
        return tf.equal(start, ledger.version) & tf.equal(ledger.arrived[worker], 0)

    @override
    def takes_effect(self, ledger: Ledger) -> tf.Tensor:
        arrived = ledger.arrived > 0
        missing = tf.reduce_any(ledger.members & ~arrived)
        enough = tf.math.count_nonzero(arrived) >= self.quorum
        return tf.reduce_any(arrived) & (enough | ~missing)

    @override
    def may_start(self, ledger: Ledger) -> tf.Tensor:
        return tf.equal(ledger.arrived, 0)
