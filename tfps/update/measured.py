"""Counts of updates, staleness, dropped gradients and waiting, which the ps keep."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from tfps.update.ledger import STALENESS_BINS, Ledger


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
