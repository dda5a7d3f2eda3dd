"""Updates as a training would have told them."""

from __future__ import annotations

from collections.abc import Sequence

from tfps.training.history import Updates
from tfps.update.effect import Measured

WORKERS = 4


def updates_of(
    *, staleness: Sequence[int] = (30, 10), dropped: int = 0, waited_s: float = 0.0
) -> Updates:
    """Updates of an epoch of 10 s on one ps, worker by worker the same."""
    measured = Measured.nothing(num_ps=1, workers=WORKERS)
    measured.staleness[0, :, : len(staleness)] = staleness
    measured.dropped[0] = dropped
    measured.waited_s[:] = waited_s
    measured.updates[:] = sum(staleness) * WORKERS
    return Updates(measured=measured, seconds=10.0)
