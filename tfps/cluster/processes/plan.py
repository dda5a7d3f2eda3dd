"""Plan the processes of a local job: what each task runs, in which environment."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from tfps.cluster import addresses
from tfps.cluster.environment import DEFAULTS, LOG_LEVEL, NO_GPUS, threads
from tfps.cluster.spec import ClusterSpec, Task
from tfps.cluster.tf_config import VARIABLE, TFConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskProcess:
    """The process of one task.

    Attributes:
        task: Which task it is.
        command: The program and its arguments.
        environment: The whole environment of the process.
        output: A file to which it appends its output; None passes the output on.
        restarts: How often it is started again when it fails.
        host: Where the task runs, if the process only stands for it; None for here.
        holds_input: Whether it has an open standard input, whose end tells it to end, before any
            signal does.
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
        """Whether the job fails with it; training does not fail with its evaluator."""
        return self.task.type != "evaluator"

    @property
    def prefix(self) -> str:
        """What stands before each line of the task's output, e.g. `[worker:1] `."""
        return f"[{self.task.type}:{self.task.index}] "

    @property
    def shows_remarks(self) -> bool:
        """Whether the INFO lines of TensorFlow are wanted: with TF_CPP_MIN_LOG_LEVEL=0."""
        return self.environment.get(LOG_LEVEL) == "0"


def cluster_spec(
    num_ps: int, num_workers: int, ports: Sequence[int], *, num_evaluators: int = 0
) -> ClusterSpec:
    """Return the cluster of a chief, workers, ps and evaluators, at the ports in this order."""
    found = iter(f"{addresses.LOOPBACK}:{port}" for port in ports)
    return ClusterSpec(
        chief=tuple(itertools.islice(found, 1)),
        worker=tuple(itertools.islice(found, num_workers)),
        ps=tuple(itertools.islice(found, num_ps)),
        evaluator=tuple(itertools.islice(found, num_evaluators)),
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
        threads_per_worker: How many threads a worker or evaluator computes with. None leaves it to
            TensorFlow, which takes as many as there are cores, in each of them.
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


_DEFAULTS = {
    **DEFAULTS,
    # The chief, the workers and the evaluators share the GPUs of this machine.
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}


def _settings(task: Task, threads_per_worker: int | None) -> Mapping[str, str]:
    if task.type == "ps":
        return NO_GPUS
    if task.type in ("worker", "evaluator") and threads_per_worker is not None:
        return threads(threads_per_worker)
    return {}
