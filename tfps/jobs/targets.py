"""Where a job can run: each target's renderer and launcher, and what a launcher does."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from tfps.cluster.spec import Task

if TYPE_CHECKING:
    from tfps.jobs.rendering import Renderer
    from tfps.jobs.spec import JobSpec

TargetName = Literal[
    "tf-config", "local", "ssh", "slurm", "kubernetes", "jobset", "tfjob", "vertex"
]
"""The values of `--target` where a job is rendered."""

LaunchTargetName = Literal["local", "ssh", "kubernetes", "jobset", "tfjob", "vertex"]
"""The values of `--target` where a job is submitted, or was."""

TARGET_NAMES: tuple[TargetName, ...] = get_args(TargetName)

# Modules with a function `render`, imported on first use.
_RENDERERS: Mapping[TargetName, str] = {
    "tf-config": "tfps.jobs.plain_processes",
    "local": "tfps.jobs.background.this_machine",
    "ssh": "tfps.jobs.background.ssh",
    "slurm": "tfps.jobs.slurm",
    "kubernetes": "tfps.jobs.kubernetes.plain",
    "jobset": "tfps.jobs.kubernetes.jobset",
    "tfjob": "tfps.jobs.kubernetes.tfjob",
    "vertex": "tfps.jobs.vertex.render",
}

State = Literal["pending", "running", "succeeded", "failed", "cancelled", "unknown"]
OVER: tuple[State, ...] = ("succeeded", "failed", "cancelled")
"""The final states."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskStatus:
    """The status of a task.

    Attributes:
        task: The task.
        state: The task's state.
        restarts: How often the task was restarted; None if the platform does not say.
        place: The node, machine or process on which the task runs.
        message: What the platform says about the task, e.g. why it waits.
    """

    task: Task
    state: State
    restarts: int | None = None
    place: str = ""
    message: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobStatus:
    """The status of a job.

    Attributes:
        name: The platform's name of the job.
        state: The state of the whole job: the chief's result, once there is one.
        message: What the platform says about the job.
        tasks: The tasks that the platform reports on, in the order of the cluster.
    """

    name: str
    state: State
    message: str = ""
    tasks: tuple[TaskStatus, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether the state is final."""
        return self.state in OVER

    @property
    def summary(self) -> str:
        """The job's state and the number of running tasks, in one line."""
        running = sum(task.state == "running" for task in self.tasks)
        of_tasks = f", {running} of {len(self.tasks)} tasks run" if not self.is_over else ""
        message = f": {self.message}" if self.message else ""
        return f"{self.name} {self.state}{of_tasks if self.tasks else ''}{message}"

    def as_dict(self) -> dict[str, Any]:
        """Return the status in plain types."""
        content = dataclasses.asdict(self)
        return {**content, "tasks": list(content["tasks"])}


class Launcher(Protocol):
    """Submits jobs to one platform, reports on them and cancels them.

    Raises:
        LaunchError: From each method: the platform refused, could not be reached, or knows no such
            job. The message says what to do.
    """

    def submit(self, spec: JobSpec, *, dry_run: bool) -> str:
        """Submit a job and return the platform's name of it.

        Args:
            spec: The job.
            dry_run: Only have the platform check the job, as far as it can, and start nothing.
        """

    def status(self, spec: JobSpec) -> JobStatus:
        """Return the status of a job that was submitted."""

    def logs(self, spec: JobSpec, task: Task, *, follow: bool) -> Iterator[str]:
        """Iterate over the lines of a task's output, without line ends.

        Args:
            spec: The job.
            task: A task of the job.
            follow: Wait for more lines until the task has ended.
        """

    def cancel(self, spec: JobSpec) -> str:
        """End all tasks, delete what was created for the job, and return a sentence about it."""


def renderer(target: TargetName) -> Renderer:
    """Return the function that renders jobs for a target."""
    render: Renderer = importlib.import_module(_RENDERERS[target]).render
    return render


def launcher(target: LaunchTargetName) -> Launcher:
    """Return a target's launcher."""
    if target == "local":
        from tfps.jobs.background.this_machine import LocalLauncher

        return LocalLauncher()
    if target == "ssh":
        from tfps.jobs.background.ssh import SshLauncher

        return SshLauncher()
    if target == "vertex":
        from tfps.jobs.vertex.launcher import VertexLauncher

        return VertexLauncher()
    from tfps.jobs.kubernetes import launcher as kubernetes

    forms = {
        "kubernetes": kubernetes.PLAIN,
        "jobset": kubernetes.AS_JOB_SET,
        "tfjob": kubernetes.AS_TF_JOB,
    }
    return kubernetes.KubernetesLauncher(form=forms[target])
