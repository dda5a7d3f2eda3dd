"""Try some seeds in this process, and print an outcome for each, as JSON."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# As in the tests: numbers are those of plain TensorFlow ops.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import dataclasses
import gc
import json
import logging

import tyro

from benchmarks.fuzz import compare, invariants
from benchmarks.fuzz.case import Case
from benchmarks.fuzz.draw import draw
from benchmarks.fuzz.outcome import Outcome
from benchmarks.fuzz.reduce import reduced
from benchmarks.fuzz.source import program
from tfps.cluster.embedded import embedded_cluster


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Try some seeds on one embedded cluster."""

    seeds: tuple[int, ...]
    """The seeds."""
    workers: int = 1
    """The number of workers: 1 is compared with plain Keras."""
    reduce: bool = False
    """Whether to make a case that fails as simple as it can be."""


def main() -> None:
    """Print the seed when a training begins, then its outcome."""
    arguments = tyro.cli(Arguments)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    embedded_cluster(num_ps=2, num_workers=arguments.workers)
    find = compare.outcome_of if arguments.workers == 1 else invariants.outcome_of

    def outcome_of(case: Case) -> Outcome:
        print(json.dumps({"begins": case.seed}), flush=True)
        return find(case)

    for seed in arguments.seeds:
        case = draw(seed, workers=arguments.workers)
        outcome = outcome_of(case)
        if outcome.is_fault and arguments.reduce:
            case, outcome = reduced(case, outcome, outcome_of)
        found = dataclasses.asdict(outcome)
        if outcome.is_fault:
            found["program"] = program(case)
        tags = sorted(case.tags)
        print(json.dumps({"seed": seed, "tags": tags, **found}), flush=True)
        gc.collect()


if __name__ == "__main__":
    main()
