"""The ledger of a ps: what it knows of the workers, and the rule by which it decides for them."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

STALENESS_BINS = 64
"""A histogram of staleness has a bin for each number below the last, which is for all above."""
NONE = -1


class Ledger(NamedTuple):
    """A ps's account of `W` workers, and what it has measured; int64 unless said otherwise.

    Attributes:
        version: how many updates have taken effect; a scalar.
        members: bool, of shape `(W,)`: who takes part.
        gradients: how many gradients wait to take effect together; a scalar.
        arrived: of shape `(W,)`: how many pushes of each worker came since the last update, with
            those that brought no gradient.
        clock: of shape `(W,)`: how many steps each worker has pushed.
        began: of shape `(W,)`: the version at which a worker's step under way began; -1 if it has
            none.
        place: of shape `(W,)`: where a worker stands in the queue of those that want to start a
            step; -1 if it does not wait.
        places: how many have queued so far; a scalar.
        since_s: float64, of shape `(W,)`: when a worker queued, or started its step under way.
        longest_s: float64, scalar: how long the longest step so far was under way.
        waited_s: float64, of shape `(W,)`: how long it has waited in all.
        pulled_at: of shape `(W,)`: the least clock of the members when a worker last started a step
            that pulls; -1 if there was none.
        staleness: of shape `(W, STALENESS_BINS)`: a histogram of the updates that took effect.
        dropped: of shape `(W,)`: how many gradients came too late to count.
    """

    version: tf.Tensor
    members: tf.Tensor
    gradients: tf.Tensor
    arrived: tf.Tensor
    clock: tf.Tensor
    began: tf.Tensor
    place: tf.Tensor
    places: tf.Tensor
    since_s: tf.Tensor
    longest_s: tf.Tensor
    waited_s: tf.Tensor
    pulled_at: tf.Tensor
    staleness: tf.Tensor
    dropped: tf.Tensor

    @classmethod
    def empty(cls, workers: int) -> Ledger:
        """Return the ledger of a ps that has met none of so many workers; of NumPy values."""
        number, each = np.zeros([], np.int64), np.zeros([workers], np.int64)
        seconds = np.zeros([workers], np.float64)
        return cls(
            version=number,
            members=np.zeros([workers], np.bool_),
            gradients=number,
            arrived=each,
            clock=each,
            began=each + NONE,
            place=each + NONE,
            places=number,
            since_s=seconds,
            longest_s=np.zeros([], np.float64),
            waited_s=seconds,
            pulled_at=each + NONE,
            staleness=np.zeros([workers, STALENESS_BINS], np.int64),
            dropped=each,
        )

    def joined(self, workers: tf.Tensor, now_s: tf.Tensor) -> Ledger:
        """Let workers take part, each of which wants to start a step.

        One that comes to others does as if it had been as slow as the slowest of them.

        Args:
            workers: bool, of shape `(W,)`.
            now_s: the time, float64.
        """
        clocks = tf.where(workers, self.slowest(), self.clock)
        order = tf.cumsum(tf.cast(workers, tf.int64), exclusive=True)
        return self._replace(
            members=self.members | workers,
            clock=clocks,
            began=tf.where(workers, tf.constant(NONE, tf.int64), self.began),
            place=tf.where(workers, self.places + order, self.place),
            places=self.places + tf.math.count_nonzero(workers),
            since_s=tf.where(workers, now_s, self.since_s),
            pulled_at=tf.where(workers, tf.constant(NONE, tf.int64), self.pulled_at),
        )

    def left(self, workers: tf.Tensor) -> Ledger:
        """Let workers, bool of shape `(W,)`, no longer take part; what they pushed stays."""
        none = tf.constant(NONE, tf.int64)
        return self._replace(
            members=self.members & ~workers,
            began=tf.where(workers, none, self.began),
            place=tf.where(workers, none, self.place),
        )

    def pushed(
        self, worker: tf.Tensor, lag: tf.Tensor, now_s: tf.Tensor, *, brought: tf.Tensor,
        counts: tf.Tensor,
    ) -> Ledger:  # fmt: skip
        """Account for a push, by which a worker also asks to start its next step.

        A worker that was thought to be lost takes part again.

        Args:
            worker: the index of the worker, int64.
            lag: the staleness of what it pushed, int64.
            now_s: the time, float64.
            brought: whether it brought a gradient, bool.
            counts: whether that will take effect, bool.
        """
        one = self.one(worker)
        add = tf.cast(one, tf.int64)
        lag = tf.minimum(lag, STALENESS_BINS - 1)
        counted = tf.cast(brought & counts, tf.int64)
        took_s = tf.reduce_max(tf.where(one & self.under_way, now_s - self.since_s, 0.0))
        return self._replace(
            members=self.members | one,
            gradients=self.gradients + counted,
            arrived=self.arrived + add * tf.cast(counts, tf.int64),
            clock=self.clock + add,
            began=tf.where(one, tf.constant(NONE, tf.int64), self.began),
            place=tf.where(one, self.places, self.place),
            places=self.places + 1,
            since_s=tf.where(one, now_s, self.since_s),
            longest_s=tf.maximum(self.longest_s, took_s),
            staleness=self.staleness
            + counted * add[:, None] * tf.one_hot(lag, STALENESS_BINS, dtype=tf.int64),
            dropped=self.dropped + add * tf.cast(brought & ~counts, tf.int64),
        )

    def updated(self) -> Ledger:
        """Account for an update: all gradients that waited took effect."""
        return self._replace(
            version=self.version + 1,
            gradients=tf.zeros([], tf.int64),
            arrived=tf.zeros_like(self.arrived),
        )

    def started(self, workers: tf.Tensor, now_s: tf.Tensor, *, pulls: tf.Tensor) -> Ledger:
        """Account for workers that were told to start a step.

        Args:
            workers: bool, of shape `(W,)`.
            now_s: the time, float64.
            pulls: whose steps pull, bool of shape `(W,)`.
        """
        return self._replace(
            began=tf.where(workers, self.version, self.began),
            place=tf.where(workers, tf.constant(NONE, tf.int64), self.place),
            waited_s=self.waited_s + tf.where(workers, now_s - self.since_s, 0.0),
            since_s=tf.where(workers, now_s, self.since_s),
            pulled_at=tf.where(workers & pulls, self.slowest(), self.pulled_at),
        )

    def late(self, patience_s: float, now_s: tf.Tensor) -> tf.Tensor:
        """Return which members have had a step under way for too long: bool, of shape `(W,)`.

        That is ten times as long as any step before, too; nobody is late before the first.
        """
        allowed_s = tf.maximum(tf.constant(patience_s, tf.float64), 10 * self.longest_s)
        late = self.members & self.under_way & (now_s - self.since_s > allowed_s)
        return late & (self.longest_s > 0)

    def one(self, worker: tf.Tensor) -> tf.Tensor:
        """Return which of the workers one is: bool, of shape `(W,)`."""
        return tf.equal(tf.range(tf.size(self.clock, tf.int64), dtype=tf.int64), worker)

    def slowest(self) -> tf.Tensor:
        """Return the least clock of the members; 0 if there are none."""
        clocks = tf.where(self.members, self.clock, self.clock.dtype.max)
        return tf.where(tf.reduce_any(self.members), tf.reduce_min(clocks), 0)

    @property
    def waiting(self) -> tf.Tensor:
        """Whether a worker wants to start a step: bool, of shape `(W,)`."""
        return self.place >= 0

    @property
    def under_way(self) -> tf.Tensor:
        """Whether a worker has a step under way: bool, of shape `(W,)`."""
        return self.began >= 0


@dataclasses.dataclass
class Account:
    """A ledger, of NumPy values, that goes on from run to run."""

    ledger: Ledger


class Rule:
    """Decides when gradients take effect, and when a step may start; traced on a ps.

    This one has each take effect when it arrives, and nobody wait.

    Attributes:
        patience_s: how long others wait for a worker at most, in seconds; None where nobody waits.
    """

    patience_s: float | None = None

    @property
    def in_step(self) -> bool:
        """Whether each worker goes on only after one step of every other."""
        return False

    def counts(self, ledger: Ledger, worker: tf.Tensor, began: tf.Tensor) -> tf.Tensor:
        """Return whether a gradient is to take effect at all, a bool scalar.

        Args:
            ledger: before the push.
            worker: who pushed it, int64.
            began: the version at which its step began, int64.
        """
        return tf.constant(True)

    def takes_effect(self, ledger: Ledger) -> tf.Tensor:
        """Return whether the mean of what has arrived is applied now, a bool scalar."""
        return ledger.gradients > 0

    def may_start(self, ledger: Ledger) -> tf.Tensor:
        """Return which workers may start a step if they want to: bool, of shape `(W,)`."""
        return tf.ones_like(ledger.members)

    def pulls(self, ledger: Ledger) -> tf.Tensor:
        """Return whose next steps pull, rather than compute on what was pulled before: bool."""
        return tf.ones_like(ledger.members)

    def tells(self, ledger: Ledger) -> tf.Tensor:
        """Return what workers are told when they may start: int64, of shape `(W,)`.

        A worker sends that with its push, as `began`.
        """
        return tf.fill(tf.shape(ledger.clock), ledger.version)

    def lag(self, ledger: Ledger, began: tf.Tensor) -> tf.Tensor:
        """Return the staleness of what is pushed, int64.

        Args:
            ledger: before the push.
            began: what came with the push: the version at which its step began.
        """
        return ledger.version - began
