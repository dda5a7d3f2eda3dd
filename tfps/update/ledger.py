"""The ledger of a ps: what it knows of the workers; and the rules by which it decides for them."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

STALENESS_BINS = 64
"""Bins of a staleness histogram: one for each staleness, and the last for all that are larger."""
NONE = -1


class Ledger(NamedTuple):
    """What a ps knows of `W` workers, and what it has counted; int64 unless said otherwise.

    Attributes:
        version: the number of updates that have taken effect; a scalar.
        members: bool, of shape `(W,)`: which workers take part.
        gradients: the number of gradients that wait to take effect together; a scalar.
        arrived: of shape `(W,)`: the number of pushes of each worker since the last update,
            including those without a gradient.
        clock: of shape `(W,)`: the number of steps that each worker has pushed.
        start_version: of shape `(W,)`: the version at which a worker's step in flight started; -1
            if it has none.
        place: of shape `(W,)`: a worker's place in the queue of those that want to start a step; -1
            if it does not wait.
        places: the number of places that were taken so far; a scalar.
        since_s: float64, of shape `(W,)`: when a worker queued, or started its step in flight.
        longest_s: float64, scalar: the longest time that a step was in flight so far.
        waited_s: float64, of shape `(W,)`: the time that a worker has waited in all.
        pulled_at: of shape `(W,)`: the least clock of the members when a worker last started a step
            that pulls; -1 if it has started none.
        staleness: of shape `(W, STALENESS_BINS)`: histograms of the gradients that took effect.
        dropped: of shape `(W,)`: the number of gradients that came too late to count.
    """

    version: tf.Tensor
    members: tf.Tensor
    gradients: tf.Tensor
    arrived: tf.Tensor
    clock: tf.Tensor
    start_version: tf.Tensor
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
        """Return the ledger before any worker has joined, of NumPy values."""
        number, each = np.zeros([], np.int64), np.zeros([workers], np.int64)
        seconds = np.zeros([workers], np.float64)
        return cls(
            version=number,
            members=np.zeros([workers], np.bool_),
            gradients=number,
            arrived=each,
            clock=each,
            start_version=each + NONE,
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
        """Return the ledger after workers joined; each of them wants to start a step.

        A worker that joins others gets the clock of the slowest of them.

        Args:
            workers: bool, of shape `(W,)`.
            now_s: the time, float64.
        """
        clocks = tf.where(workers, self.slowest(), self.clock)
        order = tf.cumsum(tf.cast(workers, tf.int64), exclusive=True)
        return self._replace(
            members=self.members | workers,
            clock=clocks,
            start_version=tf.where(workers, tf.constant(NONE, tf.int64), self.start_version),
            place=tf.where(workers, self.places + order, self.place),
            places=self.places + tf.math.count_nonzero(workers),
            since_s=tf.where(workers, now_s, self.since_s),
            pulled_at=tf.where(workers, tf.constant(NONE, tf.int64), self.pulled_at),
        )

    def left(self, workers: tf.Tensor) -> Ledger:
        """Return the ledger after workers, bool of shape `(W,)`, left; what they pushed stays."""
        none = tf.constant(NONE, tf.int64)
        return self._replace(
            members=self.members & ~workers,
            start_version=tf.where(workers, none, self.start_version),
            place=tf.where(workers, none, self.place),
        )

    def pushed(
        self, worker: tf.Tensor, lag: tf.Tensor, now_s: tf.Tensor, *, brought: tf.Tensor,
        counts: tf.Tensor,
    ) -> Ledger:  # fmt: skip
        """Return the ledger after a push, by which a worker also asks to start its next step.

        A worker that was taken for lost takes part again.

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
        took_s = tf.reduce_max(tf.where(one & self.in_flight, now_s - self.since_s, 0.0))
        return self._replace(
            members=self.members | one,
            gradients=self.gradients + counted,
            arrived=self.arrived + add * tf.cast(counts, tf.int64),
            clock=self.clock + add,
            start_version=tf.where(one, tf.constant(NONE, tf.int64), self.start_version),
            place=tf.where(one, self.places, self.place),
            places=self.places + 1,
            since_s=tf.where(one, now_s, self.since_s),
            longest_s=tf.maximum(self.longest_s, took_s),
            staleness=self.staleness
            + counted * add[:, None] * tf.one_hot(lag, STALENESS_BINS, dtype=tf.int64),
            dropped=self.dropped + add * tf.cast(brought & ~counts, tf.int64),
        )

    def updated(self) -> Ledger:
        """Return the ledger after an update: all gradients that waited took effect."""
        return self._replace(
            version=self.version + 1,
            gradients=tf.zeros([], tf.int64),
            arrived=tf.zeros_like(self.arrived),
        )

    def started(self, workers: tf.Tensor, now_s: tf.Tensor, *, pulls: tf.Tensor) -> Ledger:
        """Return the ledger after workers started a step.

        Args:
            workers: bool, of shape `(W,)`.
            now_s: the time, float64.
            pulls: which of their steps pull, bool of shape `(W,)`.
        """
        return self._replace(
            start_version=tf.where(workers, self.version, self.start_version),
            place=tf.where(workers, tf.constant(NONE, tf.int64), self.place),
            waited_s=self.waited_s + tf.where(workers, now_s - self.since_s, 0.0),
            since_s=tf.where(workers, now_s, self.since_s),
            pulled_at=tf.where(workers & pulls, self.slowest(), self.pulled_at),
        )

    def late(self, patience_s: float, now_s: tf.Tensor) -> tf.Tensor:
        """Return the members whose step has been in flight for too long: bool, of shape `(W,)`.

        Too long is longer than `patience_s`, and than ten times the longest step so far. Before the
        first step has ended, no worker is late.
        """
        allowed_s = tf.maximum(tf.constant(patience_s, tf.float64), 10 * self.longest_s)
        late = self.members & self.in_flight & (now_s - self.since_s > allowed_s)
        return late & (self.longest_s > 0)

    def one(self, worker: tf.Tensor) -> tf.Tensor:
        """Return the one-hot mask of a worker: bool, of shape `(W,)`."""
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
    def in_flight(self) -> tf.Tensor:
        """Whether a worker has a step in flight: bool, of shape `(W,)`."""
        return self.start_version >= 0


@dataclasses.dataclass
class Account:
    """A ledger, of NumPy values, that is kept from run to run."""

    ledger: Ledger


class Rule:
    """Decides when gradients take effect, and when a step may start; traced on a ps.

    By default each gradient takes effect when it arrives, and no worker waits.

    Attributes:
        patience_s: the longest time, in seconds, that other workers wait for one; None if no worker
            waits for another.
    """

    patience_s: float | None = None

    @property
    def in_step(self) -> bool:
        """Whether a worker starts a step only after every other worker has ended one."""
        return False

    def counts(self, ledger: Ledger, worker: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
        """Return whether a gradient counts, a bool scalar; one that does not is dropped.

        Args:
            ledger: before the push.
            worker: the worker that pushed it, int64.
            start: the version at which its step started, int64.
        """
        return tf.constant(True)

    def takes_effect(self, ledger: Ledger) -> tf.Tensor:
        """Return whether the mean of the gradients that arrived is applied now, a bool scalar."""
        return ledger.gradients > 0

    def may_start(self, ledger: Ledger) -> tf.Tensor:
        """Return the workers that may start a step if they want to: bool, of shape `(W,)`."""
        return tf.ones_like(ledger.members)

    def pulls(self, ledger: Ledger) -> tf.Tensor:
        """Return the workers whose next step pulls, rather than use its cache: bool, `(W,)`."""
        return tf.ones_like(ledger.members)

    def answers(self, ledger: Ledger) -> tf.Tensor:
        """Return the answer to workers that may start: int64, of shape `(W,)`.

        A worker sends it back with its push, as `start`.
        """
        return tf.fill(tf.shape(ledger.clock), ledger.version)

    def lag(self, ledger: Ledger, start: tf.Tensor) -> tf.Tensor:
        """Return the staleness of what is pushed, int64.

        Args:
            ledger: before the push.
            start: what came with the push: the version at which its step started.
        """
        return ledger.version - start
