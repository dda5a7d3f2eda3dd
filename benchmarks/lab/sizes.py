"""What a step costs as a cluster grows: bytes, CPU seconds of the ps and of the chief, examples/s.

    sudo python -m benchmarks.lab.sizes --json sizes.json

As root on Linux. One contender of `benchmarks.compare` trains on clusters of several sizes: each
number of workers with 2 ps, and each number of ps with 2 workers. Every task has a network
namespace of its own, with a link without a limit that counts its bytes. All tasks share the cores
of this machine, so more workers do not make more examples/s where there are few of them; what a
step takes of the ps, of the chief and of the links is the same as on machines of their own.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import tyro

from benchmarks import report
from benchmarks.compare import contenders, driver
from benchmarks.compare.cases import Chosen, ModelName
from benchmarks.compare.contenders import ALL, NUM_PS, NUM_WORKERS, Contender, SittingArguments
from benchmarks.lab import network, plans, shaping, sitting
from benchmarks.lab.network import guarded
from benchmarks.lab.shaping import Moved
from benchmarks.lab.sitting import Found, Turn

_PORT = 20_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(SittingArguments):
    """Measure what a step costs on clusters of several sizes. Needs root."""

    workers: tuple[int, ...] = (1, 2, 4, 8)
    """Numbers of workers, each with 2 ps."""
    ps: tuple[int, ...] = (1, 2, 4)
    """Numbers of ps, each with 2 workers."""
    contender: str = "tfps-float32-x10"
    """Who trains: one that runs on a cluster."""
    model: ModelName = "encoder"
    """The model."""
    rounds: int = 3
    """Turns to measure on each cluster; one to warm up comes first."""
    dispatches: int = 2
    """Dispatches of each worker in a turn."""
    least_memory_gib: float = 0.9
    """Start no cluster when the machine has less memory available for each of its tasks."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """How many workers and ps a cluster has."""

    workers: int
    ps: int

    def __str__(self) -> str:
        return f"workers: {self.workers}, ps: {self.ps}"


def main() -> None:
    """Measure; leave no process and no network behind, however it ends."""
    arguments = tyro.cli(Arguments)
    try:
        contender = check(arguments)
        versions = contenders.installed(arguments.peers_python)
        if lacking := contenders.missing(contender, versions):
            raise ValueError(lacking)
    except (ValueError, RuntimeError) as error:
        print(f"lab: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(guarded(lambda: measure(arguments, contender)))


def check(arguments: Arguments) -> Contender:
    """Check the machine and the arguments; return the contender.

    Raises:
        ValueError: One of them does not do.
    """
    if fault := network.fault():
        raise ValueError(fault)
    able = [name for name, contender in ALL.items() if contender.processes == "cluster"]
    if arguments.contender not in able:
        raise ValueError(f"--contender: {arguments.contender} is not among {', '.join(able)}.")
    for name in ("workers", "ps", "rounds", "dispatches"):
        given = getattr(arguments, name)
        if min(given if isinstance(given, tuple) else (given,), default=1) < 1:
            raise ValueError(f"--{name}: each number must be at least 1.")
    return ALL[arguments.contender]


def sizes(workers: Sequence[int], ps: Sequence[int]) -> list[Size]:
    """Return the clusters, each once: numbers of workers with 2 ps, of ps with 2 workers."""
    found = [Size(workers=number, ps=NUM_PS) for number in workers]
    found += [Size(workers=NUM_WORKERS, ps=number) for number in ps]
    return list(dict.fromkeys(found))


def measure(arguments: Arguments, contender: Contender) -> int:
    """Measure all sizes and publish; return the exit code.

    A signal ends it, and what was measured until then is published.
    """
    found: dict[Size, Found] = {}
    code = 0
    try:
        for size in sizes(arguments.workers, arguments.ps):
            driver.say(str(size))
            found[size] = train(arguments, contender, size)
    except SystemExit as ending:
        code = int(ending.code or 0)
    report.publish(tables(arguments, found), arguments.json)
    return code


def train(arguments: Arguments, contender: Contender, size: Size) -> Found:
    """Let the contender train on a cluster of one size."""
    steps = size.workers * contender.steps_per_execution * arguments.dispatches
    told = Chosen(model=arguments.model, rows=arguments.rows, steps=steps)
    names = plans.task_names(size.ps, size.workers)
    python = arguments.peers_python if contender.package else Path(sys.executable)
    with network.Network(names) as links:
        plan = driver.Plan(
            name=contender.name,
            commands=plans.commands(contender, told, python, links.spots(), _PORT),
            environment=plans.environment(contender, os.environ),
        )
        found = asyncio.run(
            sitting.take_turns(
                [plan],
                links,
                rates_mbit=[shaping.UNLIMITED],
                rounds=arguments.rounds,
                learning_steps=lambda _: 1,
                least_memory_gib=arguments.least_memory_gib * len(names),
                patience=arguments.patience,
            )
        )
    return found[contender.name]


def tables(arguments: Arguments, found: Mapping[Size, Found]) -> list[report.Table]:
    """Return what was measured, and what was not."""
    case = Chosen(model=arguments.model, rows=arguments.rows, steps=1).case
    moved: list[list[report.Cell]] = []
    computed: list[list[report.Cell]] = []
    for size, one in found.items():
        turns = [turn for turn in one.rounds.get(shaping.UNLIMITED, []) if turn is not None]
        if turns:
            moved.append([size.workers, size.ps, *bytes_of_step(turns)])
            rates = [case.batch * turn.answer.steps / turn.answer.seconds for turn in turns]
            cells = [*cpu_ms_of_step(turns), *report.low_middle_high(rates)]
            computed.append([size.workers, size.ps, *cells])
    title = f"{arguments.model}, {arguments.contender}, {os.cpu_count()} cores"
    found_tables = (
        report.Table(
            title=f"{title}: what a step moves",
            columns=[
                *("workers", "ps", "pull MB", "push MB"),
                *("links of all ps MB", "of the busiest MB", "link of the chief KB"),
            ],
            rows=moved,
            note="A step: one batch of one worker. pull, push: history.traffic. links: what they "
            "carried, headers included, both ways.",
        ),
        report.Table(
            title=f"{title}: what a step computes",
            columns=[
                *("workers", "ps", "CPU ms of all ps", "chief", "workers"),
                *("examples/s min", "median", "max"),
            ],
            rows=computed,
            note="CPU: in user and kernel mode, of a step; the mean of all rounds.",
        ),
        report.Table(
            title="Not measured, or not to the end",
            columns=["size", "why"],
            rows=[[str(size), one.fault] for size, one in found.items() if one.fault],
        ),
    )
    return [table for table in found_tables if table.rows]


def bytes_of_step(turns: Sequence[Turn]) -> list[float]:
    """Return MB pulled and pushed, MB on the links of all ps and of one, KB on the chief's."""
    pulled, pushed = (
        sum(sum(getattr(turn.answer, way) or [0]) for turn in turns) / _steps(turns) / 1e6
        for way in ("pull_bytes", "push_bytes")
    )
    per_ps = _of_step(turns, "ps", lambda moved: moved.down_bytes + moved.up_bytes)
    chief = _of_step(turns, "chief", lambda moved: moved.down_bytes + moved.up_bytes)
    return [pulled, pushed, sum(per_ps) / 1e6, max(per_ps) / 1e6, sum(chief) / 1e3]


def cpu_ms_of_step(turns: Sequence[Turn]) -> list[float]:
    """Return CPU milliseconds of all ps, of the chief and of all workers."""
    kinds = ("ps", "chief", "worker")
    return [1e3 * sum(_of_step(turns, kind, lambda moved: moved.cpu_s)) for kind in kinds]


def _of_step(turns: Sequence[Turn], kind: str, of: Callable[[Moved], float]) -> list[float]:
    """Return what each task of a kind had per step."""
    names = [name for name in turns[0].links if name.startswith(f"{kind} ")]
    return [sum(of(turn.links[name]) for turn in turns) / _steps(turns) for name in names]


def _steps(turns: Sequence[Turn]) -> int:
    return sum(turn.answer.steps for turn in turns)


if __name__ == "__main__":
    main()
