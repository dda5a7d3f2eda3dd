"""A cluster with one slow worker: update rates, bounds of the staleness, times and bytes.

    python -m benchmarks.updates.waiting --plot waiting.png --json waiting.json

starts a chief, 4 workers of one thread each and 2 ps through `tfps local`, and trains a small
model. Each batch takes its time in a sleep, which needs no processor, and on the slowed worker 5
times as long. It prints

- the updates per second of `Synchronous(backup_workers=1)` on all of them, beside those of
  `Synchronous()` on the others alone, in turns;
- the largest staleness with each bound of `Asynchronous` and `BoundedStaleness`, how many gradients
  came too late, and how long workers waited;
- how long workers wait, and what they pull, over the bound of `BoundedStaleness`, beside
  `Asynchronous`: with one worker that is always slow, and with all of them slow now and then.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import tyro

from benchmarks import launch, report
from benchmarks.updates import bounds, pace, waits
from benchmarks.updates.slowed import Speeds

PS = 2
Part = Literal["pace", "bounds", "waits"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Measure update policies on a local cluster, one worker of which is slow."""

    parts: tuple[Part, ...] = ("pace", "bounds", "waits")
    """What to measure."""
    workers: int = 4
    """Workers, of one thread each; the first is slowed."""
    batch_ms: float = 10.0
    """How long a batch takes at least."""
    pace_batch_ms: float = 40.0
    """The same where the pace is measured: far longer than what a step takes of the processors."""
    times: float = 5.0
    """As many times as long takes a batch of the slowed worker."""
    updates: int = 200
    """Updates in a round of the pace, about."""
    rounds: int = 5
    """Rounds of the pace."""
    steps: int = 2000
    """Steps with each bound, those of all workers together."""
    bounds: tuple[int, ...] = (0, 1, 4)
    """Bounds of which the largest staleness is told."""
    bounds_of_waits: tuple[int, ...] = (0, 1, 2, 4, 8, 16)
    """Bounds of which time and bytes are told."""
    json: Path | None = None
    """A file to write the numbers to."""
    plot: Path | None = None
    """A PNG file to draw time and bytes to."""

    def check(self) -> None:
        """Check the values.

        Raises:
            ValueError: Some cannot be.
        """
        least = {
            "workers": 2,
            "batch_ms": 0,
            "pace_batch_ms": 0,
            "times": 1,
            "updates": 1,
            "rounds": 1,
            "steps": 1,
        }
        for name, value in least.items():
            if getattr(self, name) < value:
                option = name.replace("_", "-")
                raise ValueError(
                    f"--{option} is {getattr(self, name)}, but must be at least {value}."
                )
        for bound in (*self.bounds, *self.bounds_of_waits):
            if bound < 0:
                raise ValueError(f"A bound is {bound}, but must be at least 0.")
        if self.plot is not None and "waits" not in self.parts:
            raise ValueError("--plot draws what --parts waits measures, which is not asked for.")


def main() -> None:
    """Measure, on a cluster that this command starts."""
    arguments = tyro.cli(Arguments)
    launch.checked("waiting", arguments.check)
    launch.on_local_cluster(
        lambda: measure(arguments), "benchmarks.updates.waiting", ps=PS, workers=arguments.workers
    )


def measure(arguments: Arguments) -> None:
    """Measure all parts on the cluster of TF_CONFIG, and publish."""
    workers, steps = arguments.workers, arguments.steps
    speeds = Speeds(batch_ms=arguments.batch_ms, times=arguments.times)
    tables = []
    if "pace" in arguments.parts:
        slower = dataclasses.replace(speeds, batch_ms=arguments.pace_batch_ms)
        rates = pace.measure(
            slower, workers=workers, updates=arguments.updates, rounds=arguments.rounds
        )
        tables.append(pace.table(rates, slower, workers))
    if "bounds" in arguments.parts:
        of_bounds = bounds.measure(speeds, arguments.bounds, steps=steps, workers=workers)
        tables.append(bounds.table(of_bounds, workers))
    if "waits" in arguments.parts:
        found = waits.measure(speeds, arguments.bounds_of_waits, steps=steps, workers=workers)
        tables += [waits.table(name, each, workers) for name, each in found.items()]
        if arguments.plot is not None:
            waits.draw(found, arguments.plot)
    report.publish(tables, arguments.json)


if __name__ == "__main__":
    main()
