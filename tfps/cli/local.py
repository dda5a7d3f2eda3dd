"""`tfps local`: run a whole job on this machine."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Annotated

import tyro

from tfps.cli.usage import usage_error
from tfps.cluster import addresses
from tfps.cluster.processes import plan, supervise
from tfps.cluster.processes.plan import program_fault
from tfps.quiet import EVERYTHING, LOG_LEVEL


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocalCluster:
    """Run a whole job on this machine: tfps local --ps P --workers W -- PROGRAM ARGS.

    Starts one process each for a chief, W workers, P parameter servers and the evaluators. All of
    them run PROGRAM, each with its own TF_CONFIG. A program that calls tfps.run trains on the
    chief, evaluates on an evaluator, and runs a server on the others. The chief's output is shown
    as it is; each line of the others follows the name of its task. The exit code is the chief's.
    No process outlives the command.
    """

    ps: int
    """Number of parameter servers, at least 1."""

    workers: int
    """Number of workers, at least 1."""

    evaluators: int = 0
    """Number of evaluators."""

    threads_per_worker: int | None = None
    """Number of threads of each worker and evaluator; by default, the number of cores."""

    tensorflow_logs: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show everything that TensorFlow's C++ code logs, as TF_CPP_MIN_LOG_LEVEL=0 does."""

    def run(self, program: Sequence[str]) -> int:
        """Run the job and return the chief's exit code, or 2 for a usage error."""
        faults = [*self._number_faults(), *_program_faults(program)]
        if faults:
            return usage_error("local", faults)
        num_tasks = 1 + self.workers + self.ps + self.evaluators
        ports = addresses.free_ports(num_tasks)
        processes = plan.processes(
            plan.cluster_spec(self.ps, self.workers, ports, num_evaluators=self.evaluators),
            program,
            environment={**os.environ, LOG_LEVEL: EVERYTHING}
            if self.tensorflow_logs
            else os.environ,
            threads_per_worker=self.threads_per_worker,
        )
        return supervise.run_job(processes)

    def _number_faults(self) -> list[str]:
        return [
            f"--{name} is {number}, but must be at least {least}."
            for name, number, least in (
                ("ps", self.ps, 1),
                ("workers", self.workers, 1),
                ("evaluators", self.evaluators, 0),
                ("threads-per-worker", self.threads_per_worker, 1),
            )
            if number is not None and number < least
        ]


def _program_faults(program: Sequence[str]) -> list[str]:
    if not program:
        return ["no program to run. Give one after --, e.g. -- python train.py"]
    fault = program_fault(program[0])
    return [] if fault is None else [fault]
