"""The project and its peers in one run: examples/s, bytes per step, and the ratios between them.

    python -m benchmarks.compare --json compare.json --plot compare.png

For each model it starts every contender: the project with several formats on the wire; tf_keras's
`fit` under TensorFlow's strategy; a plain Keras 3 loop on ClusterCoordinator; Keras 3 in one
process; PyTorch's DDP on gloo, plain and with its bfloat16 and PowerSGD hooks; and the ceiling,
forward and backward alone. All have 2 workers (or processes) of one thread, 2 ps where there are
any, the same model, batches and batch size. They stay up, and take turns: while one runs its steps
all others idle, and a round is over when each had its turn. So a machine that is slower for a while
is slower for all, and the ratio of two contenders is taken round by round. Where memory cannot hold
all of them there are two sittings, one after the other, and a ratio is of two in the same one.

tf_keras and PyTorch are in the extra `bench`, or in another interpreter (`--peers-python`). What is
not installed is reported as missing. Nothing else should run meanwhile.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import tyro

from benchmarks import report
from benchmarks.compare import contenders, driver, results
from benchmarks.compare.cases import CASES, Chosen, ModelName
from benchmarks.compare.contenders import SittingArguments
from tfps.cluster import addresses
from tfps.cluster.processes import guard


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(SittingArguments):
    """Compare the project with its peers: the same model, data, batch and threads, in turns."""

    models: tuple[ModelName, ...] = tuple(CASES)
    """The models, one after another."""
    contenders: tuple[str, ...] = ()
    """Who takes part, for every model and in one sitting; without it, a list for each. A name that
    does not exist is answered by all that do."""
    rounds: int = 5
    """Rounds to measure in each sitting; one to warm up comes first."""
    steps: int | None = None
    """Steps of a turn, over both workers; without it, a number for each model."""
    plot: Path | None = None
    """A PNG file to draw the medians to."""


def main() -> None:
    """Compare; leave no process behind, however it ends."""
    arguments = tyro.cli(Arguments)
    try:
        for model in arguments.models:
            contenders.sittings(arguments.contenders, model)
        versions = contenders.installed(arguments.peers_python)
    except (ValueError, RuntimeError) as error:
        print(f"compare: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(guard.guarded(lambda _: compare(arguments, versions)))


def compare(arguments: Arguments, versions: dict[str, str]) -> int:
    """Measure all models and publish; return the exit code.

    A signal ends it after the contenders, and what was measured until then is published.
    """
    guard.die_with_parent()
    for number in guard.FORWARDED_SIGNALS:
        signal.signal(number, _end)
    guard.unblock_signals()
    found: list[results.Results] = []
    code = 0
    try:
        for model in arguments.models:
            found.append(measure(arguments, model, versions))
    except _SignalReceived as received:
        code = 128 + received.number
    tables = [table for one in found for table in one.tables(versions)]
    report.publish(tables, arguments.json, [one.rounds() for one in found])
    rates = {one.chosen.model: one.measured_rates for one in found if one.measured_rates}
    if arguments.plot is not None and rates:
        results.draw(rates, arguments.plot)
    return code


def measure(arguments: Arguments, model: ModelName, versions: dict[str, str]) -> results.Results:
    """Let all contenders train one model, in turns."""
    steps = arguments.steps or contenders.STEPS[model]
    told = Chosen(model=model, rows=arguments.rows, steps=steps)
    found = [
        sit(arguments, sitting, planned(sitting, told, arguments.peers_python, versions))
        for sitting in contenders.sittings(arguments.contenders, model)
    ]
    return results.Results(chosen=told, outcomes=results.joined(found, arguments.rounds))


def sit(
    arguments: Arguments, sitting: Sequence[contenders.Contender], plans: Sequence[driver.Plan]
) -> dict[contenders.Contender, driver.Outcome]:
    """Let the contenders of one sitting take turns."""
    outcomes = asyncio.run(
        driver.take_turns(
            plans,
            rounds=arguments.rounds,
            least_memory_gib=arguments.least_memory_gib,
            patience=arguments.patience,
        )
    )
    return {contender: outcomes[contender.name] for contender in sitting}


def planned(
    taking_part: Sequence[contenders.Contender],
    told: Chosen,
    peers_python: Path,
    versions: dict[str, str],
) -> list[driver.Plan]:
    """Return what to start for each contender."""
    ports = addresses.free_ports(len(taking_part))
    plans = []
    for contender, port in zip(taking_part, ports, strict=True):
        python = peers_python if contender.package else Path(sys.executable)
        steps = contenders.steps_of(contender, told.model, told.steps)
        own = dataclasses.replace(told, steps=steps)
        plans.append(
            driver.Plan(
                name=contender.name,
                commands=contenders.commands(contender, own, python, port),
                environment=contenders.environment(contender, os.environ),
                fault=contenders.missing(contender, versions),
            )
        )
    return plans


class _SignalReceived(SystemExit):
    """Raised in the main thread, wherever it is; asyncio lets a SystemExit through at once."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


def _end(number: int, frame: FrameType | None) -> None:
    raise _SignalReceived(number)


if __name__ == "__main__":
    main()
