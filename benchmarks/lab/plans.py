"""Who runs in the lab, on which links, and what starts each of them."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.compare import contenders
from benchmarks.compare.cases import Chosen
from benchmarks.compare.contenders import ALL, NUM_PS, NUM_WORKERS, Contender
from benchmarks.compare.driver import Plan
from benchmarks.lab import place, shaping
from benchmarks.lab.place import Place, Spot

# Those of one sitting live side by side: 12 to 17 GB. The ceiling sits in each, since what a wire
# reaches is compared with it.
DEFAULT: tuple[tuple[str, ...], ...] = (
    (
        "tfps-bfloat16-x32-buckets",
        "tfps-bfloat16-x32-overlap-buckets",
        "tfps-topk-x32-buckets",
        "tf_keras",
        "tf_keras-x10",
        "ceiling",
    ),
    (
        "tfps-float32-x32-overlap-buckets",
        "tfps-bfloat16-x10",
        "tfps-int8-x32-overlap-buckets",
        "tfps-topk-x32-overlap-buckets",
        "torch-ddp",
        "torch-ddp-bf16",
        "torch-ddp-powersgd",
        "ceiling",
    ),
)

# Where a step moves tens of MB a turn has this many times fewer.
_SLOWER = {
    "tf_keras": 5,
    "tf_keras-x10": 2,
    "tfps-float32-x10": 2,
    "torch-ddp": 5,
    "torch-ddp-bf16": 5,
    "ceiling": 2,  # Each of its two processes has that many.
}
_FIRST_PORT = 20_000
_PROXIES = {"http_proxy", "https_proxy", "grpc_proxy", "all_proxy"}


Spots = Mapping[str, Spot]
"""A spot for each task by its name, e.g. `worker 0`."""


def task_names(num_ps: int = NUM_PS, num_workers: int = NUM_WORKERS) -> list[str]:
    """Return the names of all tasks; processes that are no cluster's take those of workers."""
    workers = [f"worker {index}" for index in range(num_workers)]
    return ["chief 0", *workers, *(f"ps {index}" for index in range(num_ps))]


def steps_of(contender: Contender, steps: int) -> int:
    """Return how many steps a contender's turn has where others have `steps`.

    It is a divisor of `steps`, and both workers have a whole dispatch.
    """
    fewer = steps // _SLOWER.get(contender.name, 1)
    least = NUM_WORKERS * contender.steps_per_execution
    return next((n for n in range(max(fewer, least), steps) if steps % n == 0), steps)


def sittings(names: Sequence[str]) -> list[list[Contender]]:
    """Return who sits together: those of these names, or else the default ones.

    Raises:
        ValueError: A name is unknown.
    """
    together = (tuple(dict.fromkeys(names)),) if names else DEFAULT
    if unknown := [name for sitting in together for name in sitting if name not in ALL]:
        raise ValueError(f"--contenders: {', '.join(unknown)} is not among {', '.join(ALL)}.")
    return [[ALL[name] for name in sitting] for sitting in together]


def planned(
    taking_part: Sequence[Contender],
    told: Chosen,
    peers_python: Path,
    versions: Mapping[str, str],
    spots: Spots,
) -> list[Plan]:
    """Return what to start for each contender, all with links of the same network.

    Args:
        taking_part: The contenders of a sitting.
        told: What they are told, but for their steps.
        peers_python: The interpreter that runs tf_keras and PyTorch.
        versions: Of the peers' packages that it has.
        spots: Where the tasks run.
    """
    plans = []
    for number, contender in enumerate(taking_part):
        python = peers_python if contender.package else Path(sys.executable)
        own = dataclasses.replace(told, steps=steps_of(contender, told.steps))
        plans.append(
            Plan(
                name=contender.name,
                commands=commands(contender, own, python, spots, _FIRST_PORT + number),
                environment=environment(contender, os.environ),
                fault=contenders.missing(contender, versions),
            )
        )
    return plans


def commands(
    contender: Contender, told: Chosen, python: Path, spots: Spots, port: int
) -> list[list[str]]:
    """Return the commands that a contender consists of.

    Args:
        contender: Whom to start.
        told: What it is told.
        python: The interpreter that runs it.
        spots: Where its tasks run; a cluster has one for each spot.
        port: A port that is free in all of them.
    """
    program = contenders.program(contender, told, python)
    if contender.processes == "cluster":
        places = [_place(name, spot, port) for name, spot in spots.items()]
        launcher = [sys.executable, "-m", "benchmarks.lab.place", place.to_json(places)]
        return [[*launcher, "--", *program]]
    if contender.program == "torch_ddp":
        ranks = [spots[f"worker {rank}"] for rank in range(NUM_WORKERS)]
        program += ["--host", ranks[0].address, "--port", str(port)]
        return [
            list(place.inside(spot.namespace, [*program, "--rank", str(rank)]))
            for rank, spot in enumerate(ranks)
        ]
    return contenders.commands(contender, told, python, port)


def environment(contender: Contender, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a contender's processes, for a network without a way out."""
    found = contenders.environment(contender, inherited) | {"GLOO_SOCKET_IFNAME": shaping.DEVICE}
    return {name: value for name, value in found.items() if name.lower() not in _PROXIES}


def _place(name: str, spot: Spot, port: int) -> Place:
    kind, index = name.split()
    return Place(
        type=kind, index=int(index), address=f"{spot.address}:{port}", namespace=spot.namespace
    )
