"""Semi-synchronous updates: each ps applies the mean of a number of gradients."""

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
from tfps.update.policy import Policy


@dataclasses.dataclass(frozen=True)
class SemiSynchronous(Policy):
    """Apply the mean of several gradients; no worker waits for it.

    Each ps applies the mean of the gradients that it has as soon as they are `quorum`, whatever the
    other ps have. Workers go on with the parameters as they are.

    Attributes:
        quorum: the number of gradients in an update; None is the number of workers.
    """

    quorum: int | None = None

    def __post_init__(self) -> None:
        if self.quorum is not None and self.quorum < 1:
            raise ValueError(f"quorum={self.quorum!r}: give 1 or more, or None.")

    @override
    def check_optimizer(
        self, optimizer: keras.optimizers.Optimizer, *, lazy_rows: bool = True
    ) -> None:
        check_updates_per_ps(optimizer)

    @override
    def effect(self, optimizer: PsOptimizer, num_workers: int) -> Effect:
        return ByRule(optimizer, num_workers, MeanOfAny(self.quorum or num_workers))

    @override
    def share(self, num_workers: int) -> float:
        return min(1.0, (self.quorum or num_workers) / num_workers)


@dataclasses.dataclass(frozen=True)
class MeanOfAny(Rule):
    """Collects `quorum` gradients, of any versions; no worker waits."""

    quorum: int

    @override
    def takes_effect(self, ledger: Ledger) -> tf.Tensor:
        return ledger.gradients >= self.quorum
