"""What is written down of a job on this machine, for every process that asks after it."""

from __future__ import annotations

import dataclasses

from tfps.cluster.spec import TASK_TYPES, Task
from tfps.errors import Fault
from tfps.jobs import checks
from tfps.jobs.launching import OVER, State, TaskStatus
from tfps.jobs.local.identity import Supervisor

SUPERVISOR_GONE = "the process that ran it was killed, and with it its tasks"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """How a task is, each attribute as in TaskStatus."""

    task_type: str
    index: int
    state: State = "pending"
    restarts: int = 0
    place: str = ""
    message: str = ""

    def __post_init__(self) -> None:
        """Check the fields."""
        known = checks.form("task_type", self.task_type, _task_type_fault)
        checks.check((*known, *checks.at_least("index", self.index, 0)))

    @property
    def task(self) -> Task:
        """Which it is."""
        return Task(type=self.task_type, index=self.index)

    @property
    def status(self) -> TaskStatus:
        """The same as every platform tells it."""
        return TaskStatus(
            task=self.task,
            state=self.state,
            restarts=self.restarts,
            place=self.place,
            message=self.message,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """How a job is: what its supervisor has last written down.

    Attributes:
        supervisor: Who runs it.
        state: As in JobStatus.
        message: As in JobStatus.
        tasks: In the order of the cluster.
    """

    supervisor: Supervisor
    state: State
    message: str = ""
    tasks: tuple[TaskRecord, ...]

    def __post_init__(self) -> None:
        """Check the fields."""
        checks.check(() if self.tasks else [Fault(("tasks",), "there is none.")])

    @property
    def is_over(self) -> bool:
        """Whether the state is final."""
        return self.state in OVER

    def abandoned(self) -> Record:
        """Return how the job is when its supervisor has ended without writing that down."""
        tasks = (
            task if task.state in OVER else dataclasses.replace(task, state="failed")
            for task in self.tasks
        )
        return dataclasses.replace(
            self, state="failed", message=SUPERVISOR_GONE, tasks=tuple(tasks)
        )


def _task_type_fault(task_type: str) -> str | None:
    return None if task_type in TASK_TYPES else f"{task_type!r} is no task type."
