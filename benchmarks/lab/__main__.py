"""The project and its peers on slow links: examples/s, bytes per step, and what a link allows.

    sudo python -m benchmarks.lab --json lab.json --plot lab.png

As root on Linux. Every task (chief, 2 workers, 2 ps; PyTorch's processes are where the workers are)
has a network namespace of its own, with a link to a switch. Each direction of a link has the rate
that `--rates-mbit` says, headers included. Model, data, batch and threads are those of
`benchmarks.compare`, and so are the turns: all contenders of a sitting stay up, one runs while the
others idle. First each learns from the same examples on links without a limit; then they take turns
at one rate after another. Where a step moves more, a turn has fewer steps.

Whatever happens to this command, the kernel ends its processes and takes the network away with
them. Nothing else should run meanwhile.
"""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from pathlib import Path

import tyro

from benchmarks import report
from benchmarks.compare import contenders, driver
from benchmarks.compare.cases import Chosen, ModelName
from benchmarks.compare.contenders import Contender, SittingArguments
from benchmarks.compare.results import draw
from benchmarks.lab import bounds, measured_rate, network, plans, results, shaping, sitting
from benchmarks.lab.network import guarded
from benchmarks.lab.sitting import Found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(SittingArguments):
    """Compare the project with its peers on links of a chosen rate. Needs root."""

    rates_mbit: tuple[float, ...] = (100.0, 1000.0)
    """The rates of the links in Mbit/s, one after another."""
    model: ModelName = "encoder"
    """The model."""
    contenders: tuple[str, ...] = ()
    """Who takes part, in one sitting; without it, two sittings of the default ones. A name that
    does not exist is answered by all that do."""
    rounds: int = 3
    """Rounds to measure at each rate, in each sitting."""
    steps: int = 64
    """Steps of a turn, over both workers; some contenders have fewer."""
    learning_steps: int = 128
    """Steps that each contender takes before, without a limit, over both workers."""
    plot: Path | None = None
    """A PNG file to draw the medians to."""


def main() -> None:
    """Compare; leave no process and no network behind, however it ends."""
    arguments = tyro.cli(Arguments)
    try:
        check(arguments)
        versions = contenders.installed(arguments.peers_python)
    except (ValueError, RuntimeError) as error:
        print(f"lab: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(guarded(lambda: compare(arguments, versions)))


def check(arguments: Arguments) -> None:
    """Check the machine and the arguments.

    Raises:
        ValueError: One of them does not do.
    """
    if fault := network.fault():
        raise ValueError(fault)
    plans.sittings(arguments.contenders)
    if wrong := [rate for rate in arguments.rates_mbit if not 1 <= rate <= 10_000]:
        raise ValueError(f"--rates-mbit: {wrong[0]:g} is not from 1 to 10000.")
    if len(set(arguments.rates_mbit)) < len(arguments.rates_mbit):
        raise ValueError("--rates-mbit: give each rate once.")
    for name in ("rounds", "steps", "learning_steps"):
        if getattr(arguments, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1.")


def compare(arguments: Arguments, versions: dict[str, str]) -> int:
    """Measure and publish; return the exit code.

    A signal ends it after the contenders, and the sittings until then are published.
    """
    told = Chosen(model=arguments.model, rows=arguments.rows, steps=arguments.steps)
    tables: list[report.Table] = []
    found: list[dict[Contender, Found]] = []
    code = 0
    with network.Network(plans.task_names()) as links:
        try:
            tables.append(measured_links(links, arguments.rates_mbit))
            for taking_part in plans.sittings(arguments.contenders):
                found.append(sit(arguments, taking_part, told, versions, links))
        except SystemExit as ending:
            code = int(ending.code or 0)
    whole = results.Results(
        chosen=told,
        rates_mbit=arguments.rates_mbit,
        found=results.joined(found, arguments.rates_mbit, arguments.rounds),
    )
    report.publish([*tables, *whole.tables()], arguments.json, whole.rounds())
    if arguments.plot is not None and (measured := whole.measured()):
        draw(measured, arguments.plot)
    return code


def sit(
    arguments: Arguments,
    taking_part: list[Contender],
    told: Chosen,
    versions: dict[str, str],
    links: network.Network,
) -> dict[Contender, Found]:
    """Let the contenders of one sitting take turns at all rates."""
    by_name = {contender.name: contender for contender in taking_part}

    def learning_steps(name: str) -> int:
        return 1 if by_name[name] is bounds.CEILING else arguments.learning_steps

    found = asyncio.run(
        sitting.take_turns(
            plans.planned(taking_part, told, arguments.peers_python, versions, links.spots()),
            links,
            rates_mbit=arguments.rates_mbit,
            rounds=arguments.rounds,
            learning_steps=learning_steps,
            least_memory_gib=arguments.least_memory_gib,
            patience=arguments.patience,
        )
    )
    return {by_name[name]: one for name, one in found.items()}


def measured_links(links: network.Network, rates_mbit: tuple[float, ...]) -> report.Table:
    """Send bytes between a worker and a ps at each rate; print and return what arrived."""
    rows: list[list[report.Cell]] = []
    for rate_mbit in rates_mbit:
        links.set_rate(rate_mbit)
        possible = shaping.payload_mbit(rate_mbit)
        carried = measured_rate.measure(links.links["worker 0"], links.links["ps 0"])
        driver.say(
            f"a link of {rate_mbit:g} Mbit/s carries {carried.there:.4g} up, {carried.back:.4g} "
            f"down, and {carried.both:.4g} each way at once; {possible:.4g} is what headers leave"
        )
        rows.append([rate_mbit, possible, carried.there, carried.back, carried.both])
    return report.Table(
        title="Links of the lab, Mbit/s",
        columns=["rate", "headers leave", "worker to ps", "ps to worker", "each way at once"],
        rows=rows,
        note="Measured with one TCP connection for a second each.",
    )


if __name__ == "__main__":
    main()
