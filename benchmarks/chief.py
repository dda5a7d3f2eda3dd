"""The chief's CPU time and memory per step, with 2 and with 8 workers.

    python -m benchmarks.chief

starts a local cluster of real processes for each number of workers (one thread each, 2 ps) and
trains a linear model of 16 features with `model.fit`: a step is nearly nothing but what surrounds
it. It prints the CPU time that the chief's process takes for a step, all its threads together, at
32 steps per dispatch, and what the process has grown by after many steps.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import tyro

import tfps
from benchmarks import report

_RESULT = "chief:"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Measure the chief's CPU time per step and its memory."""

    workers: tuple[int, ...] = (2, 8)
    """Numbers of workers, a cluster for each."""
    steps: int = 16_000
    """Steps of a round; a round to warm up comes first."""
    rounds: int = 5
    """Rounds to measure."""
    steps_per_execution: int = 32
    """Steps per dispatch."""
    json: Path | None = None
    """A file to write the numbers to."""


def main() -> None:
    """Measure; as a task of a cluster, do that task's part."""
    arguments = tyro.cli(Arguments)
    if tfps.TFConfig.from_environment() is not None:
        tfps.run(lambda: _train(arguments))
        return
    rows: list[list[report.Cell]] = []
    for workers in arguments.workers:
        rounds = _on_cluster(workers)
        cpu = report.low_middle_high([r["cpu_ms"] for r in rounds])
        rate = statistics.median(r["steps_per_s"] for r in rounds)
        grown = rounds[-1]["rss_mb"] - rounds[0]["rss_mb"]
        rows.append([workers, *cpu, rate, rounds[0]["rss_mb"], grown])
    table = report.Table(
        title=f"The chief's CPU time per step, {arguments.steps_per_execution} steps per dispatch",
        columns=["workers", "ms min", "median", "max", "steps/s", "RSS MB", "grown by MB"],
        rows=rows,
        note=f"Linear model; {arguments.rounds} rounds of {arguments.steps:,} steps.",
    )
    report.publish([table], arguments.json)


def _on_cluster(workers: int) -> list[dict[str, float]]:
    """Run this benchmark's training on a local cluster; return what its chief printed."""
    local = [sys.executable, "-m", "tfps", "local", "--ps", "2", "--workers", str(workers)]
    command = [*local, "--threads-per-worker", "1", "--", sys.executable, "-m", "benchmarks.chief"]
    done = subprocess.run([*command, *sys.argv[1:]], stdout=subprocess.PIPE, text=True, check=True)
    (line,) = (one for one in done.stdout.splitlines() if _RESULT in one)
    found: list[dict[str, float]] = json.loads(line.partition(_RESULT)[2])
    return found


def _train(arguments: Arguments) -> None:
    import keras
    import numpy as np
    import tensorflow as tf

    strategy = tfps.ParameterServerStrategy()
    with strategy.scope():
        model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", steps_per_execution=arguments.steps_per_execution)
    random = np.random.default_rng(1)
    batch = random.normal(size=(32, 16)), random.normal(size=(32, 1))

    class Meter(keras.callbacks.Callback):
        """Reads the process's CPU time and memory around each epoch."""

        def __init__(self) -> None:
            super().__init__()
            self.rounds: list[dict[str, float]] = []
            self._process = psutil.Process()

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self._before = self._process.cpu_times()
            self._started = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            now = self._process.cpu_times()
            cpu = now.user + now.system - self._before.user - self._before.system
            self.rounds.append(
                {
                    "cpu_ms": 1000 * cpu / arguments.steps,
                    "steps_per_s": arguments.steps / (time.perf_counter() - self._started),
                    "rss_mb": self._process.memory_info().rss / 1e6,
                }
            )

    meter = Meter()
    model.fit(
        lambda _: tf.data.Dataset.from_tensors(batch).repeat(),
        epochs=1 + arguments.rounds,
        steps_per_epoch=arguments.steps,
        callbacks=[meter],
        verbose=0,
    )
    print(_RESULT + json.dumps(meter.rounds[1:]), flush=True)


if __name__ == "__main__":
    main()
