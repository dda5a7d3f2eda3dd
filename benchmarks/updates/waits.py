"""Waiting times and pulled bytes of the workers, for each bound of the staleness."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tfps
from benchmarks import report
from benchmarks.updates import slowed
from benchmarks.updates.slowed import DatasetFunction, Found, Speeds
from tfps.update import Policy

ASYNCHRONOUS = "none"
LEAST_FEWER, AT_BOUND = 6.0, 8
SLOW_BATCHES = 0.1
_COMPUTING, _WAITING = "tab:blue", "tab:orange"

ByBound = Mapping[str, Found]


def measure(
    speeds: Speeds, bounds: Sequence[int], *, steps: int, workers: int
) -> dict[str, dict[str, Found]]:
    """Train with each bound and without one; return the results for each kind of slowness."""
    found: dict[str, dict[str, Found]] = {}
    for name, data in situations(speeds).items():
        found[name] = {}
        for bound, policy in policies(bounds).items():
            found[name][bound] = slowed.train(policy, data, steps=steps, workers=workers)
            print(f"{name}, bound {bound}: done", file=sys.stderr, flush=True)
    return found


def situations(speeds: Speeds) -> dict[str, DatasetFunction]:
    """Return the data that make workers slow: one of them always, or all now and then."""
    return {
        "one worker slowed": speeds.one_slowed(),
        f"{100 * SLOW_BATCHES:g} % of all batches slowed": speeds.by_chance(SLOW_BATCHES),
    }


def policies(bounds: Sequence[int]) -> dict[str, Policy]:
    """Return the policy of each bound, and the one without."""
    update = tfps.update
    bounded: dict[str, Policy] = {str(bound): update.BoundedStaleness(bound) for bound in bounds}
    return {**bounded, ASYNCHRONOUS: update.Asynchronous()}


def table(name: str, found: ByBound, workers: int) -> report.Table:
    """Return the table of one kind of slowness."""
    most = found[ASYNCHRONOUS].pull_kb_per_step
    rows: list[list[report.Cell]] = []
    for bound, one in found.items():
        fewer = most / one.pull_kb_per_step
        reached: report.Cell = fewer >= LEAST_FEWER if bound == str(AT_BOUND) else "-"
        rows.append(
            [
                *(bound, one.updates.seconds, one.updates.seconds - one.waiting_s, one.waiting_s),
                *(one.waiting_percent, one.updates.max_staleness),
                *(one.pull_kb_per_step, fewer, reached),
            ]
        )
    return report.Table(
        title=f"BoundedStaleness on {workers} workers, {name}: "
        f"{found[ASYNCHRONOUS].steps:,} steps of all together",
        columns=[
            *("bound", "seconds", "computing s", "waiting s", "waiting %", "largest"),
            *("pull KB", "times fewer", f">= {LEAST_FEWER:g}"),
        ],
        rows=rows,
        note=f"bound {ASYNCHRONOUS}: Asynchronous(). computing: all that is not waiting to start a "
        "step; the mean of the workers. largest: the staleness. pull KB: of a step "
        "(history.traffic), and how many times fewer than without a bound.",
    )


def draw(found: Mapping[str, ByBound], file: Path) -> None:
    """Draw a column for each kind of slowness to a PNG file: times above, bytes below.

    As in figure 13 of Li et al. 2014, "Scaling Distributed Machine Learning with the Parameter
    Server", OSDI.
    """
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        2, len(found), squeeze=False, figsize=(5.5 * len(found), 6.5), sharey="row",
        height_ratios=(2, 1), layout="constrained",
    )  # fmt: skip
    for (times, pulls), (name, of_bounds) in zip(axes.T, found.items(), strict=True):
        _draw_times(times, of_bounds)
        times.set(title=name)
        bars = pulls.bar(list(of_bounds), [f.pull_kb_per_step for f in of_bounds.values()])
        pulls.bar_label(bars, [f"{f.pull_kb_per_step:.3g}" for f in of_bounds.values()])
        pulls.set(xlabel="bound of the staleness, steps", ylabel="pulled per step, KB")
        pulls.margins(y=0.15)
        for panel in (times, pulls):
            panel.spines[["top", "right"]].set_visible(False)
    named = axes[0, 0].get_legend_handles_labels()
    figure.legend(*named, loc="outside upper right", ncols=2, frameon=False)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def _draw_times(panel: Any, found: ByBound) -> None:
    waiting = [one.waiting_s for one in found.values()]
    computing = [one.updates.seconds - one.waiting_s for one in found.values()]
    panel.bar(list(found), computing, color=_COMPUTING, label="computing")
    bars = panel.bar(list(found), waiting, bottom=computing, color=_WAITING, label="waiting")
    panel.bar_label(bars, [f"{one.waiting_percent:.0f} %" for one in found.values()])
    panel.set(xlabel="bound of the staleness, steps", ylabel="seconds of a worker, mean")
    panel.margins(y=0.1)
