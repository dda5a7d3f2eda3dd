"""Asynchronous updates: each gradient takes effect when it arrives."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

import tensorflow as tf
from typing_extensions import override

from tfps.update.ledger import Ledger, Rule
from tfps.update.policy import Policy, Timing

_Learning = Literal["constant", "inverse-staleness"]
_Above = Literal["drop", "wait"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asynchronous(Policy):
    """Apply each gradient when it arrives, however many updates came since its step began.

    That number is its staleness. Each ps counts it by itself.

    Attributes:
        max_staleness: the largest staleness that is allowed; None is any.
        above: what happens to a gradient above it. "drop": it is dropped, and counted, and its
            worker goes on. "wait": there is none, since a step only starts once it is sure that
            neither its gradient nor one of a step under way will be too stale; 0 lets one worker
            compute at a time. That takes a call to one ps before each step. Nobody waits more than
            a minute for a worker that is silent, or ten times as long as any step took.
        learning_rate: "constant", or "inverse-staleness": an update is made with the learning rate
            divided by its staleness, where that is above 1 (Zhang et al. 2016, "Staleness-aware
            Async-SGD for Distributed Deep Learning").
    """

    max_staleness: int | None = None
    above: _Above = "drop"
    learning_rate: _Learning = "constant"

    def __post_init__(self) -> None:
        if self.max_staleness is not None and self.max_staleness < 0:
            raise ValueError(
                f"max_staleness={self.max_staleness!r}: give 0 or more, or None for any staleness."
            )
        for name, allowed in (("above", _Above), ("learning_rate", _Learning)):
            if getattr(self, name) not in get_args(allowed):
                choices = " or ".join(repr(choice) for choice in get_args(allowed))
                raise ValueError(f"{name}={getattr(self, name)!r}: give {choices}.")

    @override
    def timing(self, num_workers: int) -> Timing:
        slows_down = self.learning_rate == "inverse-staleness"
        if self.max_staleness is None:
            return Timing(slows_down=slows_down)
        if self.above == "drop":
            return Timing(rule=_Drop(self.max_staleness), slows_down=slows_down)
        return Timing(gate=_Wait(self.max_staleness), slows_down=slows_down)


@dataclasses.dataclass(frozen=True)
class _Drop(Rule):
    """Takes what is not too stale, at once; nobody waits."""

    bound: int

    @override
    def counts(self, ledger: Ledger, worker: tf.Tensor, began: tf.Tensor) -> tf.Tensor:
        return ledger.version - began <= self.bound


@dataclasses.dataclass(frozen=True)
class _Wait(Rule):
    """Starts no more steps than may end before the oldest one under way is too stale.

    A step that is under way sees at most the updates since it began, and then one of each other
    step under way; who pushes queues again behind those that wait.
    """

    bound: int
    patience_s: float = 60.0

    @override
    def may_start(self, ledger: Ledger) -> tf.Tensor:
        seen = tf.where(ledger.under_way, ledger.version - ledger.began, 0)
        most = self.bound + 1 - tf.reduce_max(seen)
        room = most - tf.math.count_nonzero(ledger.under_way)
        ahead = ledger.waiting[None] & (ledger.place[None] < ledger.place[:, None])
        return tf.math.count_nonzero(ahead, axis=1) < room
