"""Asynchronous updates: each gradient takes effect when it arrives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal, get_args

import keras
import tensorflow as tf
from typing_extensions import override

from tfps.optimizer.apply import PsOptimizer
from tfps.optimizer.limits import check_updates_per_ps
from tfps.update.at_once import AtOnce
from tfps.update.by_rule import ByRule
from tfps.update.effect import Effect
from tfps.update.gate import Gate
from tfps.update.ledger import Ledger, Rule
from tfps.update.policy import Policy
from tfps.worker.cache import Cache

_Above = Literal["drop", "wait"]


def inverse_staleness(staleness: tf.Tensor) -> tf.Tensor:
    """Return 1 / staleness, and 1 for a staleness of 0: a `rate_scale` of `Asynchronous`.

    Zhang et al. 2016, "Staleness-aware Async-SGD for Distributed Deep Learning".
    """
    return 1 / tf.cast(tf.maximum(staleness, 1), tf.float64)


@dataclasses.dataclass(frozen=True)
class Asynchronous(Policy):
    """Apply each gradient when it arrives, however many updates were made since its step began.

    That number of updates is the gradient's staleness. Each ps counts it for itself.

    Attributes:
        max_staleness: the largest staleness that is allowed; None allows any.
        above: what happens above `max_staleness`. "drop": the gradient is dropped and counted, and
            its worker goes on. "wait": no gradient gets too stale, because a step only starts when
            neither its own gradient nor one of a step in flight can become too stale; with 0, one
            worker computes at a time. This takes a call to one ps before each step. A silent worker
            is waited for at most a minute, or ten times the longest step if that is more.
        rate_scale: a function from staleness (int64 scalar) to the factor by which the learning
            rate of the update is multiplied, such as `inverse_staleness`. None is a factor of 1.
    """

    max_staleness: int | None = None
    above: _Above = dataclasses.field(default="drop", kw_only=True)
    rate_scale: Callable[[tf.Tensor], tf.Tensor] | None = dataclasses.field(
        default=None, kw_only=True
    )

    def __post_init__(self) -> None:
        if self.max_staleness is not None and self.max_staleness < 0:
            raise ValueError(
                f"max_staleness={self.max_staleness!r}: give 0 or more, or None for any staleness."
            )
        if self.above not in get_args(_Above):
            choices = " or ".join(repr(choice) for choice in get_args(_Above))
            raise ValueError(f"above={self.above!r}: give {choices}.")
        if self.rate_scale is not None and not callable(self.rate_scale):
            raise ValueError(
                f"rate_scale={self.rate_scale!r}: give a function from staleness to a factor, such "
                "as tfps.update.inverse_staleness, or None."
            )
        if self.rate_scale is not None and self._drops:
            raise ValueError(
                f"rate_scale={self.rate_scale!r} with max_staleness={self.max_staleness!r}: the "
                'factor is not applied where stale gradients are dropped. Give above="wait", or '
                "leave one of them out."
            )

    @property
    @override
    def is_plain(self) -> bool:
        return not self._waits

    @property
    @override
    def allows_overlap(self) -> bool:
        return self.max_staleness is None

    @override
    def check_optimizer(
        self, optimizer: keras.optimizers.Optimizer, *, lazy_rows: bool = True
    ) -> None:
        if self._drops:
            check_updates_per_ps(optimizer)

    @override
    def effect(self, optimizer: PsOptimizer, num_workers: int) -> Effect:
        if self.max_staleness is not None and self._drops:
            return ByRule(optimizer, num_workers, DropAbove(self.max_staleness))
        return AtOnce(optimizer, num_workers, rate_scale=self.rate_scale, confirms=self._waits)

    @override
    def gate(self, num_workers: int, make_cache: Callable[[], Cache]) -> Gate | None:
        if self.max_staleness is None or self._drops:
            return None
        return Gate(num_workers, WaitAbove(self.max_staleness))

    @property
    def _drops(self) -> bool:
        return self.max_staleness is not None and self.above == "drop"

    @property
    def _waits(self) -> bool:
        return self.max_staleness is not None and self.above == "wait"


@dataclasses.dataclass(frozen=True)
class DropAbove(Rule):
    """Applies each gradient that is not too stale when it arrives; no worker waits."""

    bound: int

    @override
    def counts(self, ledger: Ledger, worker: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
        return ledger.version - start <= self.bound


@dataclasses.dataclass(frozen=True)
class WaitAbove(Rule):
    """Starts no more steps than can end before the oldest step in flight is too stale.

    The gradient of a step in flight misses at most the updates since the step began, and then one
    of each other step in flight: a worker that has pushed queues behind those that wait.
    """

    bound: int
    patience_s: float = 60.0

    @override
    def may_start(self, ledger: Ledger) -> tf.Tensor:
        seen = tf.where(ledger.in_flight, ledger.version - ledger.start_version, 0)
        most = self.bound + 1 - tf.reduce_max(seen)
        room = most - tf.math.count_nonzero(ledger.in_flight)
        ahead = ledger.waiting[None] & (ledger.place[None] < ledger.place[:, None])
        return tf.math.count_nonzero(ahead, axis=1) < room
