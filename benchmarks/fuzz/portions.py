"""Try seeds in processes of their own, so that a crash or a hang costs one case."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import IO, Any

from benchmarks.fuzz.outcome import Outcome

SEEDS_PER_PROCESS = 40
"""A process keeps the graphs of models that are gone, and becomes slower."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found(Outcome):
    """The outcome of a seed; its kind can also be "crash" or "hang".

    Attributes:
        program: what fails, as a program.
    """

    seed: int
    workers: int
    tags: tuple[str, ...] = ()
    program: str = ""

    @property
    def text(self) -> str:
        """What a reader needs to find the fault."""
        what = f"seed {self.seed}, {self.workers} worker(s): {self.kind}"
        return f"{what} {list(self.tags)}\n{self.detail}\n{self.program}"


def tried(
    seeds: Sequence[int], workers: int, options: Sequence[str], limit_s: float
) -> Iterator[Found]:
    """Yield the outcome of each seed.

    Args:
        seeds: the seeds.
        workers: the number of workers.
        options: other arguments of `portion`.
        limit_s: the longest time that a seed may take, in seconds.
    """
    remaining = list(seeds)
    while remaining:
        portion = remaining[:SEEDS_PER_PROCESS]
        command = [sys.executable, "-m", "benchmarks.fuzz.portion", f"--workers={workers}"]
        command += [*options, "--seeds", *map(str, portion)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            try:
                for found in _read(process, workers, limit_s):
                    remaining.remove(found.seed)
                    yield found
            finally:
                process.kill()
        if remaining[: len(portion)] == portion:
            raise RuntimeError(f"{' '.join(command)} ended with code {process.returncode}.")


def _read(process: subprocess.Popen[bytes], workers: int, limit_s: float) -> Iterator[Found]:
    """Yield what a process finds; what it does not finish is a crash, or a hang."""
    begun = None
    silent = threading.Event()
    for record in _records(process, limit_s, silent):
        begun = record.pop("begins", None)
        if begun is None:
            yield Found(**record, workers=workers)
    if begun is not None:
        yield Found(seed=begun, workers=workers, kind="hang" if silent.is_set() else "crash")


def _records(
    process: subprocess.Popen[bytes], limit_s: float, silent: threading.Event
) -> Iterator[dict[str, Any]]:
    """Yield the JSON lines of a process; kill it if there is none for so long, and set `silent`."""

    def end() -> None:
        silent.set()
        process.kill()

    output: IO[bytes] = process.stdout  # type: ignore[assignment]
    while True:
        timer = threading.Timer(limit_s, end)
        timer.start()
        line = output.readline()
        timer.cancel()
        if not line:
            return
        if line.startswith(b"{"):
            yield json.loads(line)
