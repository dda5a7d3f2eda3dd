"""The record of a job in the background: its folder, its state, and its supervisor process."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import time
from pathlib import Path

import psutil

from tfps.cluster.spec import TASK_TYPES, Task
from tfps.errors import Fault, LaunchError
from tfps.jobs import checks
from tfps.jobs.spec import JobSpec
from tfps.jobs.targets import OVER, State, TaskStatus
from tfps.structure import structure

SUPERVISOR_GONE = "the process that ran it was killed, and with it its tasks"

_SAME_START_S = 10.0
_END_WITHIN_S = 20.0
_POLL_S = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Supervisor:
    """The process that runs a job.

    Attributes:
        host: The name of its machine. Several machines may share a home folder.
        pid: Its process id.
        started_s: Its start time, in seconds since 1970.
    """

    host: str
    pid: int
    started_s: float

    def __post_init__(self) -> None:
        """Check the fields."""
        checks.check(checks.at_least("pid", self.pid, 1))

    @classmethod
    def this(cls) -> Supervisor:
        """Return the current process."""
        started_s = psutil.Process().create_time()
        return cls(host=socket.gethostname(), pid=os.getpid(), started_s=started_s)

    @property
    def is_elsewhere(self) -> bool:
        """Whether it runs, or ran, on another machine."""
        return self.host != socket.gethostname()

    def process(self) -> psutil.Process | None:
        """Return the process, if it is alive on this machine."""
        if self.is_elsewhere:
            return None
        try:
            process = psutil.Process(self.pid)
            # Another process may have the same id now. Start times shift when the clock is set.
            is_same = abs(process.create_time() - self.started_s) < _SAME_START_S
            return process if is_same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    def end(self) -> None:
        """Terminate the process, if it is alive on this machine; kill it if that takes too long."""
        process = self.process()
        if process is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            family = process.children(recursive=True)
            process.terminate()
            if self._ends_in_time():
                return
            for member in (process, *family):
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
            self._ends_in_time()

    def _ends_in_time(self) -> bool:
        deadline = time.monotonic() + _END_WITHIN_S
        while self.process() is not None:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S)
        return True


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """The recorded state of a task; each attribute as in TaskStatus."""

    task_type: str
    index: int
    state: State = "pending"
    restarts: int = 0
    place: str = ""
    message: str = ""

    def __post_init__(self) -> None:
        """Check the fields."""
        type_faults = checks.well_formed("task_type", self.task_type, _task_type_fault)
        checks.check((*type_faults, *checks.at_least("index", self.index, 0)))

    @property
    def task(self) -> Task:
        """The task."""
        return Task(type=self.task_type, index=self.index)

    @property
    def status(self) -> TaskStatus:
        """The state in the form that all launchers return."""
        return TaskStatus(
            task=self.task,
            state=self.state,
            restarts=self.restarts,
            place=self.place,
            message=self.message,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobRecord:
    """The recorded state of a job.

    Attributes:
        supervisor: The process that runs the job.
        state: As in JobStatus.
        message: As in JobStatus.
        tasks: The tasks, in the order of the cluster.
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

    def abandoned(self) -> JobRecord:
        """Return the state of a job whose supervisor has ended without recording the job's end."""
        tasks = (
            task if task.state in OVER else dataclasses.replace(task, state="failed")
            for task in self.tasks
        )
        return dataclasses.replace(
            self, state="failed", message=SUPERVISOR_GONE, tasks=tuple(tasks)
        )


@dataclasses.dataclass(frozen=True)
class JobFolder:
    """The folder of a job, through which its supervisor informs other processes.

    Attributes:
        path: The folder. It exists once the job has been submitted.
    """

    path: Path

    @property
    def spec_file(self) -> Path:
        """The job spec, for the supervisor."""
        return self.path / "spec.json"

    @property
    def record_file(self) -> Path:
        """The latest record of the supervisor."""
        return self.path / "record.json"

    @property
    def supervisor_log(self) -> Path:
        """The output of the supervisor."""
        return self.path / "supervisor.log"

    def output(self, task: Task) -> Path:
        """Return the file with the output of a task."""
        return self.path / f"{task.type}-{task.index}.log"

    def write_spec(self, spec: JobSpec) -> None:
        """Write the job spec."""
        self.spec_file.write_text(json.dumps(dataclasses.asdict(spec)))

    def read_spec(self) -> JobSpec:
        """Return the job spec."""
        spec, _ = structure(json.loads(self.spec_file.read_text()), JobSpec)
        return spec

    def write(self, record: JobRecord) -> None:
        """Replace the record; a concurrent reader sees either the old one or the new one."""
        new = self.record_file.with_suffix(".new")
        new.write_text(json.dumps(dataclasses.asdict(record), indent=1))
        new.replace(self.record_file)

    def read(self) -> JobRecord:
        """Return the latest record.

        Raises:
            LaunchError: There is none, or it cannot be read.
        """
        try:
            data = json.loads(self.record_file.read_text())
        except FileNotFoundError as error:
            raise LaunchError(
                f"No job {self.path.name!r} was submitted on this machine: there is no "
                f"{self.record_file}. Submit it with tfps submit --target {self.path.parent.name}."
            ) from error
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error
        record, faults = structure(data, JobRecord)
        if faults:
            raise self._unreadable(faults[0])
        return record

    def _unreadable(self, reason: object) -> LaunchError:
        return LaunchError(
            f"{self.record_file} is no record of a job ({reason}). If no job of this name runs, "
            f"remove {self.path}."
        )


def _task_type_fault(task_type: str) -> str | None:
    return None if task_type in TASK_TYPES else f"{task_type!r} is no task type."
