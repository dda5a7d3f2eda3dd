"""Try many cases; see `benchmarks.fuzz`."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import sys
from pathlib import Path

import tyro

from benchmarks import report
from benchmarks.fuzz.portions import Found, tried


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Train random models on parameter servers, and compare them with plain Keras."""

    seeds: int = 100
    """The number of cases."""
    first: int = 0
    """The first seed."""
    only: tuple[int, ...] = ()
    """Seeds to try instead; one that fails is shown as the simplest program that does."""
    workers: int = 3
    """The number of workers of each fourth case; the others have one, and must equal plain Keras.
    """
    limit_s: float = 180.0
    """The longest time that a case may take."""
    json: Path | None = None
    """A file to write the outcomes to."""


def main() -> None:
    """Try the cases, and print what was found; the exit code is 1 if there are faults."""
    arguments = tyro.cli(Arguments)
    seeds = arguments.only or range(arguments.first, arguments.first + arguments.seeds)
    found: list[Found] = []
    for workers in (1, arguments.workers):
        mine = [seed for seed in seeds if (seed % 4 == 3) == (workers > 1)]
        options = ["--reduce"] if arguments.only else []
        for one in tried(mine, workers, options, arguments.limit_s):
            found.append(one)
            if one.is_fault:
                print(one.text, flush=True)
    report.publish([_by_kind(found)], arguments.json, [_each(found)])
    sys.exit(any(one.is_fault for one in found))


def _by_kind(found: list[Found]) -> report.Table:
    groups = collections.defaultdict(list)
    for one in found:
        groups[1 if one.workers == 1 else 2, one.kind, ", ".join(one.tags)].append(one.seed)
    rows = [
        [
            "1" if workers == 1 else "several",
            kind,
            tags,
            len(seeds),
            " ".join(str(seed) for seed in itertools.islice(seeds, 8)),
        ]
        for (workers, kind, tags), seeds in sorted(groups.items())
    ]
    faults = sum(one.is_fault for one in found)
    return report.Table(
        title=f"{len(found)} cases, {faults} faults",
        columns=["workers", "outcome", "with", "cases", "seeds"],
        rows=rows,
        note="rounding: plain Keras does not give the same twice, either, if the last bits of its "
        "initial weights change. invalid: plain Keras cannot train it, either. Cases with random "
        "layers only check that numbers are finite, and counts.",
    )


def _each(found: list[Found]) -> report.Table:
    return report.Table(
        title="Outcomes",
        columns=["seed", "workers", "outcome", "with", "detail"],
        rows=[[o.seed, o.workers, o.kind, ", ".join(o.tags), o.detail] for o in found],
    )


if __name__ == "__main__":
    main()
