"""Semi-synchronous updates: each ps makes one of the mean of the gradients that it has."""

from __future__ import annotations

import dataclasses

import tensorflow as tf
from typing_extensions import override

from tfps.update.ledger import Ledger, Rule
from tfps.update.policy import Policy, Timing


@dataclasses.dataclass(frozen=True, kw_only=True)
class SemiSynchronous(Policy):
    """Make an update of the mean of several gradients; nobody waits for it.

    Each ps applies the mean of what it has as soon as that is enough, whatever the other ps have,
    and a worker computes on with the parameters that are there.

    Attributes:
        quorum: how many gradients an update is made of; None is as many as there are workers.
    """

    quorum: int | None = None

    def __post_init__(self) -> None:
        if self.quorum is not None and self.quorum < 1:
            raise ValueError(f"quorum={self.quorum!r}: give 1 or more, or None.")

    @override
    def timing(self, num_workers: int) -> Timing:
        return Timing(rule=_MeanOfAny(self.quorum or num_workers))


@dataclasses.dataclass(frozen=True)
class _MeanOfAny(Rule):
    """Waits for so many gradients, of whatever versions; nobody waits."""

    quorum: int

    @override
    def share(self, num_workers: int) -> float:
        return min(1.0, self.quorum / num_workers)

    @override
    def takes_effect(self, ledger: Ledger) -> tf.Tensor:
        return ledger.gradients >= self.quorum
