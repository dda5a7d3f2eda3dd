"""The updates that an epoch's steps led to."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import reduce

import numpy as np
import rich.box
import rich.console
import rich.table

from tfps.update.measured import Measured


@dataclasses.dataclass(frozen=True, kw_only=True)
class Updates:
    """The updates of an epoch; `history.updates` has one for each epoch.

    Each ps makes updates, and counts, for itself.

    Attributes:
        measured: the counts.
        seconds: how long the training steps of the epoch took.
    """

    measured: Measured
    seconds: float

    @property
    def staleness(self) -> np.ndarray:
        """The histogram of staleness of each worker: int64, of shape `(workers, bins)`.

        How many gradients took effect that missed so many updates, added up over all ps. The last
        bin is for all that missed more than the others.
        """
        return np.asarray(np.sum(self.measured.staleness, axis=0))

    @property
    def mean_staleness(self) -> float:
        """The mean of the staleness; 0 if no gradient took effect."""
        return _mean(np.sum(self.staleness, axis=0))

    @property
    def max_staleness(self) -> int:
        """The largest staleness."""
        return _most(np.sum(self.staleness, axis=0))

    @property
    def dropped(self) -> np.ndarray:
        """Of each worker, how many gradients came too late: the most that a ps dropped; int64."""
        return np.asarray(np.max(self.measured.dropped, axis=0))

    @property
    def waited_s(self) -> np.ndarray:
        """How long each worker waited to start its steps, in seconds."""
        return self.measured.waited_s

    @property
    def updates(self) -> int:
        """How many updates were made: the most that a ps made."""
        return int(np.max(self.measured.updates))

    @property
    def logs(self) -> dict[str, float]:
        """What goes to the logs of an epoch, and from there to TensorBoard."""
        return {
            "updates_per_s": self.updates / max(self.seconds, 1e-9),
            "mean_staleness": self.mean_staleness,
            "max_staleness": self.max_staleness,
            "dropped_gradients": int(np.sum(self.dropped)),
            "waited_s": float(np.sum(self.waited_s)),
        }


def total(epochs: Sequence[Updates]) -> Updates:
    """Return the sum over epochs, of which there is one at least."""
    return Updates(
        measured=reduce(lambda a, b: a + b, (one.measured for one in epochs)),
        seconds=sum(one.seconds for one in epochs),
    )


def print_table(updates: Updates) -> None:
    """Print a line for each worker."""
    table = rich.table.Table(
        title=f"{updates.updates:,} updates, {updates.logs['updates_per_s']:,.1f} a second",
        box=rich.box.SIMPLE,
    )
    for name in ("worker", "gradients", "staleness: mean", "most", "dropped", "waited"):
        table.add_column(name, justify="right")
    num_ps = np.count_nonzero(np.sum(updates.measured.staleness, axis=(1, 2))) or 1
    for worker, histogram in enumerate(updates.staleness):
        table.add_row(
            str(worker),
            f"{np.sum(histogram) / num_ps:,.0f}",
            f"{_mean(histogram):.2f}",
            str(_most(histogram)),
            f"{updates.dropped[worker]:,}",
            f"{updates.waited_s[worker]:,.1f} s",
        )
    rich.console.Console().print(table)


def _mean(histogram: np.ndarray) -> float:
    count = np.sum(histogram)
    return float(np.sum(histogram * np.arange(len(histogram))) / count) if count else 0.0


def _most(histogram: np.ndarray) -> int:
    found = np.flatnonzero(histogram)
    return int(found[-1]) if len(found) else 0
