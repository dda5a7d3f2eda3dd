"""Plan the processes of a local job: what each task runs, in which environment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from tfps.cluster.spec import ClusterSpec, Task
from tfps.cluster.tf_config import VARIABLE, TFConfig

HOST = "127.0.0.1"
_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskProcess:
    """The process of one task.

    Attributes:
        task: Which task it is.
        command: The program and its arguments.
        environment: The whole environment of the process.
    """

    task: Task
    command: tuple[str, ...]
    environment: Mapping[str, str]

    @property
    def prefix(self) -> str:
        """What stands before each line of the task's output, e.g. `[worker:1] `."""
        return f"[{self.task.type}:{self.task.index}] "

    @property
    def shows_remarks(self) -> bool:
        """Whether the INFO lines of TensorFlow are wanted: with TF_CPP_MIN_LOG_LEVEL=0."""
        return self.environment.get(_LOG_LEVEL) == "0"


def cluster_spec(num_ps: int, num_workers: int, ports: Sequence[int]) -> ClusterSpec:
    """Return the cluster of a chief, workers and ps on loopback, at the ports in this order."""
    found = tuple(f"{HOST}:{port}" for port in ports)
    return ClusterSpec(
        chief=found[:1], worker=found[1 : 1 + num_workers], ps=found[1 + num_workers :][:num_ps]
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
        threads_per_worker: How many threads a worker computes with. None leaves it to TensorFlow,
            which takes as many as there are cores, in every worker.
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
    # Output reaches the launcher line by line, not in blocks of a few kilobytes.
    "PYTHONUNBUFFERED": "1",
    # Each process would repeat TensorFlow's remarks on the machine.
    _LOG_LEVEL: "2",
    # In pages of 2 MB a look at a row of a large table misses the processor's address cache less.
    # glibc reads it when the process starts.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    # The chief and the workers share the GPUs of this machine.
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}


def _settings(task: Task, threads_per_worker: int | None) -> dict[str, str]:
    if task.type == "ps":
        return {"CUDA_VISIBLE_DEVICES": "-1"}
    if task.type == "worker" and threads_per_worker is not None:
        return {
            "TF_NUM_INTRAOP_THREADS": str(threads_per_worker),
            "OMP_NUM_THREADS": str(threads_per_worker),
        }
    return {}
