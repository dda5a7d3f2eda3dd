"""What fit's History has for each epoch beside Keras's logs: traffic, updates, and reading."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from functools import reduce

import numpy as np
import rich.box
import rich.console
import rich.table

from tfps.update.effect import Measured

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Traffic:
    """The bytes that the training steps of an epoch moved; `history.traffic` has one per epoch.

    Each attribute has an entry for each ps. Evaluation, the messages between the chief and the
    workers, and gRPC's own headers are not counted.

    Attributes:
        pull_bytes: the bytes that the ps sent to the workers.
        push_bytes: the bytes that it received from them, the ids of requested rows included.
        uncoded_pull_bytes: `pull_bytes` without a codec.
        uncoded_push_bytes: `push_bytes` without a codec.
    """

    pull_bytes: tuple[int, ...]
    push_bytes: tuple[int, ...]
    uncoded_pull_bytes: tuple[int, ...]
    uncoded_push_bytes: tuple[int, ...]

    @classmethod
    def of(cls, counted: np.ndarray) -> Traffic:
        """Return the traffic that reports have counted: int64, of shape `(num_ps, 2, 2)`."""
        return cls(
            pull_bytes=tuple(counted[:, 0, 1].tolist()),
            push_bytes=tuple(counted[:, 1, 1].tolist()),
            uncoded_pull_bytes=tuple(counted[:, 0, 0].tolist()),
            uncoded_push_bytes=tuple(counted[:, 1, 0].tolist()),
        )

    @property
    def totals(self) -> dict[str, int]:
        """The sum of each attribute over all ps."""
        return {name: sum(per_ps) for name, per_ps in dataclasses.asdict(self).items()}

    def log(self, epoch: int) -> None:
        """Log a line for each direction, at level INFO."""
        for name in ("pull_bytes", "push_bytes"):
            coded, before = self.totals[name], self.totals[f"uncoded_{name}"]
            per_ps = ", ".join(f"{count / 1e6:.3f}" for count in getattr(self, name))
            _logger.info(
                f"epoch {epoch + 1}: {name} {coded / 1e6:.3f} MB, {before / 1e6:.3f} MB before "
                f"coding; of each ps {per_ps}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Updates:
    """The updates of an epoch; `history.updates` has one per epoch.

    Each ps updates its own parameters, and counts for itself.

    Attributes:
        measured: the counts of all ps.
        seconds: the time that the training steps of the epoch took.
    """

    measured: Measured
    seconds: float

    @property
    def staleness(self) -> np.ndarray:
        """A histogram of the staleness of each worker's gradients: int64, `(workers, bins)`.

        Bin n counts the gradients that took effect n updates late, summed over all ps. The last bin
        also counts all that were later.
        """
        return np.asarray(np.sum(self.measured.staleness, axis=0))

    @property
    def mean_staleness(self) -> float:
        """The mean staleness; 0 if no gradient took effect."""
        return _mean(np.sum(self.staleness, axis=0))

    @property
    def max_staleness(self) -> int:
        """The largest staleness."""
        return _largest(np.sum(self.staleness, axis=0))

    @property
    def dropped(self) -> np.ndarray:
        """The number of gradients of each worker that came too late, int64: the most on any ps."""
        return np.asarray(np.max(self.measured.dropped, axis=0))

    @property
    def waited_s(self) -> np.ndarray:
        """The time that each worker waited to start its steps, in seconds."""
        return self.measured.waited_s

    @property
    def updates(self) -> int:
        """The number of updates: the most on any ps."""
        return int(np.max(self.measured.updates))

    @property
    def logs(self) -> dict[str, float]:
        """The figures in the logs of an epoch, and so in TensorBoard."""
        return {
            "updates_per_s": self.updates / max(self.seconds, 1e-9),
            "mean_staleness": self.mean_staleness,
            "max_staleness": self.max_staleness,
            "dropped_gradients": int(np.sum(self.dropped)),
            "waited_s": float(np.sum(self.waited_s)),
        }


@dataclasses.dataclass(kw_only=True)
class Reading:
    """How the data of an epoch was read; `history.reading` has one per epoch.

    Attributes:
        used: the number of batches whose steps have ended.
        batches: the number of batches that the chief has read.
        read_s: the time that it took the chief to read them, in seconds.
        waited_s: the time that all workers together waited for the chief's batches, in seconds.
        seen_twice: the number of batches that were with workers that were lost, and that others
            were given again: at most so many were trained on twice.
    """

    used: int = 0
    batches: int = 0
    read_s: float = 0.0
    waited_s: float = 0.0
    seen_twice: int = 0

    @property
    def batches_per_s(self) -> float:
        """The most batches that the chief can feed to the workers, in a second."""
        return self.batches / max(self.read_s, 1e-9)

    def __add__(self, other: Reading) -> Reading:
        """Return the sum of two epochs."""
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        names = [field.name for field in dataclasses.fields(self)]
        return Reading(**dict(zip(names, (a + b for a, b in pairs), strict=True)))


def total(epochs: Sequence[Updates]) -> Updates:
    """Return the sum over epochs, at least one."""
    return Updates(
        measured=reduce(lambda a, b: a + b, (updates.measured for updates in epochs)),
        seconds=sum(updates.seconds for updates in epochs),
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
            str(_largest(histogram)),
            f"{updates.dropped[worker]:,}",
            f"{updates.waited_s[worker]:,.1f} s",
        )
    rich.console.Console().print(table)


def _mean(histogram: np.ndarray) -> float:
    count = np.sum(histogram)
    return float(np.sum(histogram * np.arange(len(histogram))) / count) if count else 0.0


def _largest(histogram: np.ndarray) -> int:
    values = np.flatnonzero(histogram)
    return int(values[-1]) if len(values) else 0
