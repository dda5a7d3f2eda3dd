"""The largest staleness under each bound, and what the bound costs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import numpy as np

import tfps
from benchmarks import report
from benchmarks.updates import slowed
from benchmarks.updates.slowed import Found, Speeds
from tfps.update import Policy

Key = tuple[str, int]


def measure(speeds: Speeds, bounds: Sequence[int], *, steps: int, workers: int) -> dict[Key, Found]:
    """Train with each policy at each bound, one after another."""
    found = {}
    for bound in bounds:
        for name, policy in policies(bound).items():
            found[name, bound] = slowed.train(
                policy, speeds.one_slowed(), steps=steps, workers=workers
            )
            print(f"{name} {bound}: done", file=sys.stderr, flush=True)
    return found


def policies(bound: int) -> dict[str, Policy]:
    """Return the policies that keep a bound."""
    update = tfps.update
    return {
        "Asynchronous, dropping": update.Asynchronous(max_staleness=bound),
        "Asynchronous, waiting": update.Asynchronous(max_staleness=bound, above="wait"),
        "BoundedStaleness": update.BoundedStaleness(bound),
    }


def table(found: Mapping[Key, Found], workers: int) -> report.Table:
    """Return the table of staleness, dropped gradients and waiting times."""
    rows: list[list[report.Cell]] = []
    for (name, bound), one in sorted(found.items()):
        updates = one.updates
        rows.append(
            [
                *(name, bound, updates.max_staleness, updates.max_staleness <= bound),
                *(round(updates.mean_staleness, 2), int(np.sum(updates.dropped))),
                *(float(np.sum(updates.waited_s)), updates.seconds),
            ]
        )
    steps = next(iter(found.values())).steps
    return report.Table(
        title=f"Bounds of the staleness over {steps:,} steps on {workers} workers, one of them "
        "slowed",
        columns=[
            *("policy", "bound", "largest", "within", "mean", "dropped", "waited s", "seconds"),
        ],
        rows=rows,
        note="Staleness: in updates by others; of BoundedStaleness in steps of other workers. "
        "dropped: gradients that came too late. waited: all workers together.",
    )
