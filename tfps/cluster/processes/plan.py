"""Plan the processes of a cluster on this machine: what each task runs, in which environment."""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from tfps.cluster import addresses
from tfps.cluster.environment import DEFAULTS, NO_GPUS, threads
from tfps.cluster.spec import ClusterSpec, Task
from tfps.cluster.tf_config import VARIABLE, TFConfig
from tfps.quiet import EVERYTHING, LOG_LEVEL

_DEFAULTS = {
    **DEFAULTS,
    # The chief, the workers and the evaluators share the GPUs of this machine.
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskProcess:
    """The process of one task.

    Attributes:
        task: Which task it is.
        command: The program and its arguments.
        environment: The whole environment of the process.
        output: The file to which it appends its output; None for the launcher's own output.
        restarts: How often it is restarted if it fails.
        host: Where the task runs if this process only represents it (ssh); None for this machine.
        holds_input: Whether it keeps standard input open. Closing it asks the process to end,
            before any signal does.
    """

    task: Task
    command: tuple[str, ...]
    environment: Mapping[str, str]
    output: Path | None = None
    restarts: int = 0
    host: str | None = None
    holds_input: bool = False

    @property
    def is_needed(self) -> bool:
        """Whether the job fails if this task fails; a failed evaluator does not end training."""
        return self.task.type != "evaluator"

    @property
    def prefix(self) -> str:
        """The prefix of each line of the task's output, e.g. `[worker:1] `."""
        return f"[{self.task.type}:{self.task.index}] "

    @property
    def shows_info(self) -> bool:
        """Whether TensorFlow's INFO messages are shown: only with TF_CPP_MIN_LOG_LEVEL=0."""
        return self.environment.get(LOG_LEVEL) == EVERYTHING


def cluster_spec(
    num_ps: int, num_workers: int, ports: Sequence[int], *, num_evaluators: int = 0
) -> ClusterSpec:
    """Return a cluster on this machine: chief, workers, ps and evaluators take ports in order."""
    free = iter(f"{addresses.LOOPBACK}:{port}" for port in ports)
    return ClusterSpec(
        chief=tuple(itertools.islice(free, 1)),
        worker=tuple(itertools.islice(free, num_workers)),
        ps=tuple(itertools.islice(free, num_ps)),
        evaluator=tuple(itertools.islice(free, num_evaluators)),
    )


def processes(
    cluster: ClusterSpec,
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    threads_per_worker: int | None = None,
) -> tuple[TaskProcess, ...]:
    """Return one process per task; all run the same command.

    Args:
        cluster: The tasks and their addresses.
        command: The program and its arguments.
        environment: What the processes inherit.
        threads_per_worker: With how many threads a worker or evaluator computes. None leaves it to
            TensorFlow: each of them then uses one thread per core.
    """
    return tuple(
        TaskProcess(
            task=task,
            command=tuple(command),
            environment={
                **_DEFAULTS,
                **environment,
                **_settings(task, threads_per_worker),
                VARIABLE: TFConfig(cluster=cluster, task=task).to_json(),
            },
        )
        for task, _ in cluster
    )


def program_fault(program: str, path: str | None = None) -> str | None:
    """Return why a program cannot be run on this machine; None if it can.

    Args:
        program: Its path or name.
        path: The folders in which to look for a name; None for this process's PATH.
    """
    if shutil.which(program, path=path) is not None:
        return None
    if program.endswith(".py") and os.path.exists(program):
        return f"{program!r} is not executable. Write python {program}"
    return f"program {program!r} was not found. Give its path, or one that is on PATH."


def _settings(task: Task, threads_per_worker: int | None) -> Mapping[str, str]:
    if task.type == "ps":
        return NO_GPUS
    if task.type in ("worker", "evaluator") and threads_per_worker is not None:
        return threads(threads_per_worker)
    return {}
