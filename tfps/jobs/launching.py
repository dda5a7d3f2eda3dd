"""How a platform is handed a job, asked after it, and told to cancel it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal, Protocol

from tfps.cluster.spec import Task
from tfps.jobs.spec import JobSpec

State = Literal["pending", "running", "succeeded", "failed", "cancelled", "unknown"]
OVER: tuple[State, ...] = ("succeeded", "failed", "cancelled")
"""The states that are final."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskStatus:
    """How one task is.

    Attributes:
        task: Which.
        state: Where it stands.
        restarts: How often it was started again; None where the platform does not say.
        place: Its node, machine or process.
        message: What the platform says of it, e.g. why it waits.
    """

    task: Task
    state: State
    restarts: int | None = None
    place: str = ""
    message: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobStatus:
    """How a job is.

    Attributes:
        name: The platform's name of it.
        state: That of the job as a whole: the chief's result, once there is one.
        message: What the platform says of it.
        tasks: Those that the platform tells of, in the order of the cluster.
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
        """The job's state in a line, and how many of its tasks run."""
        running = sum(task.state == "running" for task in self.tasks)
        of_tasks = f", {running} of {len(self.tasks)} tasks run" if not self.is_over else ""
        message = f": {self.message}" if self.message else ""
        return f"{self.name} {self.state}{of_tasks if self.tasks else ''}{message}"

    def as_dict(self) -> dict[str, Any]:
        """Return the status in plain types."""
        content = dataclasses.asdict(self)
        return {**content, "tasks": list(content["tasks"])}


class Launcher(Protocol):
    """One platform, for one job.

    Raises:
        LaunchError: From each method: the platform refused, is not reached, or knows no such job;
            the message says what to do.
    """

    def submit(self, spec: JobSpec, *, dry_run: bool) -> str:
        """Hand over the job, and return what it is called there.

        Args:
            spec: The job.
            dry_run: Have the platform check it, as far as it does, and start nothing.
        """

    def status(self, spec: JobSpec) -> JobStatus:
        """Ask how the job is; it may be over for a while."""

    def logs(self, spec: JobSpec, task: Task, *, follow: bool) -> Iterator[str]:
        """Iterate over the lines of a task's output, without line ends.

        Args:
            spec: The job.
            task: One of the job's.
            follow: Go on until the task has ended.
        """

    def cancel(self, spec: JobSpec) -> str:
        """End all tasks, remove what was made for the job, and say what was done."""
