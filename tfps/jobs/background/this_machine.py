"""Target local: the tasks of a job are processes of this machine."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from tfps.cluster import addresses
from tfps.cluster.environment import VISIBLE_GPUS
from tfps.cluster.processes.plan import TaskProcess, program_fault
from tfps.cluster.spec import ClusterSpec, Task
from tfps.errors import Fault, LaunchError
from tfps.jobs import checks, plain_processes
from tfps.jobs.background.launcher import BackgroundLauncher, BackgroundTarget, programs_folder
from tfps.jobs.rendering import Rendering
from tfps.jobs.spec import JobSpec
from tfps.jobs.tasks import CHECKPOINT_DIR, cluster_at, gpus_at, name_of, role_of, tasks


def render(spec: JobSpec) -> Rendering:
    """Render a job as one document for each process.

    Variables that the processes inherit from this machine are left out. Ports count up from the
    spec's port; a job that is submitted gets free ports instead.

    Raises:
        JobSpecError: There are too few ports above the spec's.
    """
    cluster = cluster_at(spec, lambda task: addresses.LOOPBACK)
    documents = (
        {
            "task": name_of(process.task),
            "command": list(process.command),
            "restarts": process.restarts,
            "env": dict(process.environment),
        }
        for process in processes(spec, cluster, inherited={})
    )
    return Rendering(documents=tuple(documents), left_out=tuple(_left_out(spec)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocalLauncher(BackgroundLauncher):
    """Launches jobs on this machine, at ports that are free when a job starts."""

    target: ClassVar[BackgroundTarget] = "local"

    def check(self, spec: JobSpec) -> None:
        """Check that the programs exist and that enough ports are free.

        Raises:
            LaunchError: A program is missing, or there are too few ports.
        """
        faults = []
        for _, role in spec.roles:
            path = {"PATH": search_path(), **spec.env, **role.env}["PATH"]
            faults.append(program_fault(spec.command_of(role)[0], path))
        messages = [fault for fault in dict.fromkeys(faults) if fault is not None]
        if messages:
            raise LaunchError("\n".join(messages))
        try:
            addresses.free_ports(len(list(tasks(spec))))
        except OSError as error:
            raise LaunchError(str(error)) from error


def search_path(environ: Mapping[str, str] = os.environ) -> str:
    """Return the PATH of tasks on this machine."""
    return os.pathsep.join([programs_folder(), environ.get("PATH", os.defpath)])


def processes(
    spec: JobSpec,
    cluster: ClusterSpec,
    inherited: Mapping[str, str],
    output: Callable[[Task], Path | None] = lambda task: None,
) -> Iterator[TaskProcess]:
    """Iterate over the processes of a job, in the order of the cluster.

    Each task with GPUs sees the next ones of this machine. If none are left, it computes on the
    CPU.

    Args:
        spec: The job.
        cluster: The job's cluster, with addresses on loopback.
        inherited: Variables that the processes inherit. If they restrict the visible GPUs, tasks
            get only those.
        output: Returns the file for a task's output.
    """
    gpus = gpus_at(spec, lambda task: addresses.LOOPBACK)
    dropped = set() if _has_checkpoint_dir(spec) else {CHECKPOINT_DIR}
    for task in tasks(spec):
        role = role_of(spec, task)
        environment = plain_processes.environment_of(
            spec, task, cluster, _visible(gpus[task], inherited), inherited
        )
        yield TaskProcess(
            task=task,
            command=spec.command_of(role),
            environment={name: value for name, value in environment.items() if name not in dropped},
            output=output(task),
            restarts=role.restarts,
        )


def _has_checkpoint_dir(spec: JobSpec) -> bool:
    """Return whether this machine has the job's checkpoint_dir, as far as the spec shows."""
    path = spec.checkpoint_dir
    return path is None or checks.is_url(path) or plain_processes.exists_unmounted(spec, path)


def _visible(numbers: Sequence[int], inherited: Mapping[str, str]) -> Sequence[object]:
    if VISIBLE_GPUS not in inherited:
        return numbers
    visible = inherited[VISIBLE_GPUS].split(",")
    return [visible[number] for number in numbers if number < len(visible)]


def _left_out(spec: JobSpec) -> Iterator[Fault]:
    yield from plain_processes.left_out(spec, hosts="all tasks run on this machine.")
    if not _has_checkpoint_dir(spec):
        yield Fault(
            ("checkpoint_dir",),
            "it lies on a volume that this machine does not have, so tasks get no "
            "TFPS_CHECKPOINT_DIR. The recipes then keep checkpoints in runs/.",
        )
