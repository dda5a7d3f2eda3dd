"""Effect: how the gradients that a worker pushes take effect, and what is counted of them."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfps.optimizer.apply import PsOptimizer
from tfps.params.variable_map import Values
from tfps.transport.pull import Versions
from tfps.transport.send import ReceivedPush
from tfps.update.ledger import STALENESS_BINS, Ledger
from tfps.update.ps_program import PsProgram


class Effect(abc.ABC):
    """How the gradients of one optimizer take effect; traced in the workers' functions.

    Attributes:
        optimizer: the optimizer.
        programs: by the index of the ps, the program that runs there while workers run what was
            traced last.
        reaches_all: whether each ps hears of each step, also of one that has no gradient for it.
        versioned: the indices of the ps of which `begin` returns a version.
    """

    reaches_all = False
    versioned: Sequence[int] = ()

    def __init__(self, optimizer: PsOptimizer) -> None:
        """Take the optimizer."""
        self.optimizer = optimizer
        optimizer.place()
        self.programs: dict[int, PsProgram] = {}

    @abc.abstractmethod
    def prepare(self) -> None:
        """Prepare for a trace; to be called at the top of a worker's function."""

    @abc.abstractmethod
    def begin(self) -> Versions:
        """Wait until a step may start; return the versions at which it starts, each on its ps.

        Parameters are to be read afterwards.
        """

    def give_back(self, start: Versions) -> None:
        """Leave to the next step what `begin` returned to this one."""
        return

    @abc.abstractmethod
    def headers(self, start: Versions, worker: tf.Tensor, counters: Values) -> dict[int, Any]:
        """Return what to send to each ps together with the gradients, by its index; on the worker.

        Args:
            start: the versions at which the step started.
            worker: the index of the worker, int64.
            counters: the values of `optimizer.counters`.
        """

    @abc.abstractmethod
    def take(self, pushes: Sequence[ReceivedPush], counters: Values) -> tf.Tensor:
        """Apply what the ps received, or enqueue it there.

        Args:
            pushes: what each ps received; its `header` is from `headers`.
            counters: the values of `optimizer.counters`.

        Returns:
            An int64 scalar on the worker. If a gate needs it, the scalar is computed after all of
            the updates.
        """

    @abc.abstractmethod
    def measured(self, num_ps: int) -> Measured:
        """Return the ps's counts since training began; to be called on the chief."""

    @abc.abstractmethod
    def skip(self, start: Versions, worker: tf.Tensor) -> None:
        """Report a step that pushes nothing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """Counts since training began; each ps counts for itself, and `W` is the number of workers.

    Attributes:
        updates: int64, of shape `(num_ps,)`: the number of updates that each ps made.
        staleness: int64, of shape `(num_ps, W, STALENESS_BINS)`: histograms of the staleness of the
            gradients that took effect, by the worker that pushed them.
        dropped: int64, of shape `(num_ps, W)`: the number of gradients that did not take effect.
        waited_s: float64, of shape `(W,)`: the time that each worker waited to start its steps.
    """

    updates: np.ndarray
    staleness: np.ndarray
    dropped: np.ndarray
    waited_s: np.ndarray

    @classmethod
    def nothing(cls, num_ps: int, workers: int) -> Measured:
        """Return counts of zero."""
        return cls(
            updates=np.zeros([num_ps], np.int64),
            staleness=np.zeros([num_ps, workers, STALENESS_BINS], np.int64),
            dropped=np.zeros([num_ps, workers], np.int64),
            waited_s=np.zeros([workers], np.float64),
        )

    @classmethod
    def of(cls, ledgers: Mapping[int, Ledger], num_ps: int, workers: int) -> Measured:
        """Return the counts in the ledgers of some ps, by the index of the ps."""
        found = cls.nothing(num_ps, workers)
        for ps, ledger in ledgers.items():
            found.updates[ps] = ledger.version
            found.staleness[ps] = ledger.staleness
            found.dropped[ps] = ledger.dropped
            # A worker waits for all ps at the same time.
            np.maximum(found.waited_s, ledger.waited_s, out=found.waited_s)
        return found

    def __add__(self, other: Measured) -> Measured:
        return self._with(other, 1)

    def __sub__(self, other: Measured) -> Measured:
        return self._with(other, -1)

    def _with(self, other: Measured, sign: int) -> Measured:
        names = [field.name for field in dataclasses.fields(self)]
        return Measured(**{n: getattr(self, n) + sign * getattr(other, n) for n in names})
