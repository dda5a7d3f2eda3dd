"""Plan the processes of a job on this machine. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tfps.cluster import addresses
from tfps.cluster.environment import VISIBLE_GPUS
from tfps.cluster.processes.plan import TaskProcess
from tfps.cluster.spec import ClusterSpec, Task
from tfps.jobs import hosts, machines, names
from tfps.jobs.cluster import CHECKPOINT_DIR, role_of, tasks
from tfps.jobs.spec import JobSpec


def processes(
    spec: JobSpec,
    cluster: ClusterSpec,
    inherited: Mapping[str, str],
    output: Callable[[Task], Path | None] = lambda task: None,
) -> Iterator[TaskProcess]:
    """Iterate over the processes of a job, in the order of the cluster.

    A task with GPUs sees those of this machine that nobody before it has; where too few are left,
    it computes on the CPU.

    Args:
        spec: The job.
        cluster: The job's, with addresses on loopback.
        inherited: What the processes find set already. Of GPUs they take only those that it shows.
        output: Where a task writes.
    """
    gpus = hosts.gpus_at(spec, lambda task: addresses.LOOPBACK)
    dropped = set() if keeps_checkpoint_dir(spec) else {CHECKPOINT_DIR}
    for task in tasks(spec):
        role = role_of(spec, task)
        environment = machines.environment_of(
            spec, task, cluster, _shown(gpus[task], inherited), inherited
        )
        yield TaskProcess(
            task=task,
            command=spec.command_of(role),
            environment={name: value for name, value in environment.items() if name not in dropped},
            output=output(task),
            restarts=role.restarts,
        )


def keeps_checkpoint_dir(spec: JobSpec) -> bool:
    """Return whether this machine has the job's checkpoint_dir, as far as the spec says."""
    path = spec.checkpoint_dir
    return path is None or names.is_url(path) or machines.is_there(spec, path)


def _shown(numbers: Sequence[int], inherited: Mapping[str, str]) -> Sequence[object]:
    if VISIBLE_GPUS not in inherited:
        return numbers
    shown = inherited[VISIBLE_GPUS].split(",")
    return [shown[number] for number in numbers if number < len(shown)]
