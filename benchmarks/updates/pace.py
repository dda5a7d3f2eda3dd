"""The rate of synchronous updates: with a slow backup worker, and without it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import tfps
from benchmarks import report
from benchmarks.updates.slowed import Speeds, Trained

LEAST_RATIO = 0.9
EVEN, BACKUP = "even", "backup"


def measure(speeds: Speeds, *, workers: int, updates: int, rounds: int) -> dict[str, list[float]]:
    """Train both in turns; return the updates per second of each in each round.

    Without the slowed worker the others make an update of the mean of one gradient of each; with
    it, they make the same, and what it pushes comes too late most of the time.

    Args:
        speeds: Of the workers.
        workers: How many the cluster has, the slowed one included.
        updates: About how many a round makes.
        rounds: How often each takes its turn.
    """
    synchronous = tfps.update.Synchronous
    trained = {
        EVEN: Trained(synchronous(), speeds.without_slowed()),
        BACKUP: Trained(synchronous(backup_workers=1), speeds.one_slowed()),
    }
    steps = updates * (workers - 1)
    found: dict[str, list[float]] = {name: [] for name in trained}
    for _ in range(rounds):
        for name, one in trained.items():
            found[name].append(one.train(steps).updates_per_s)
    return found


def table(found: Mapping[str, Sequence[float]], speeds: Speeds, workers: int) -> report.Table:
    """Return the table of the rates, and of their ratio to that of even workers."""
    median_of_even = statistics.median(found[EVEN])
    others = workers - 1
    said = {
        EVEN: f"Synchronous(), {others} workers, none slowed",
        BACKUP: f"Synchronous(backup_workers=1), {others} + 1 workers, one slowed",
    }
    rows: list[list[report.Cell]] = []
    for name, rates in found.items():
        ratio = statistics.median(rates) / median_of_even
        reached: report.Cell = "-" if name == EVEN else ratio >= LEAST_RATIO
        rows.append([said[name], *report.low_middle_high(rates), ratio, reached])
    return report.Table(
        title=f"Updates/s where a batch takes {speeds.batch_ms:g} ms or more, on the slowed worker "
        f"{speeds.times:g} times as long",
        columns=["updates", "min", "median", "max", "of even", f">= {LEAST_RATIO:g}"],
        rows=rows,
        note=f"{len(found[EVEN])} rounds, in which both took turns on one cluster of {workers} "
        "workers; of even workers, the slowed one has no data. A batch takes its time in a sleep, "
        "which needs no processor.",
    )
