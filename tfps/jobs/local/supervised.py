"""Start a job under a supervisor here, ask after it, show its output, end it."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import tfps
from tfps.cluster.spec import Task
from tfps.errors import LaunchError
from tfps.jobs.launching import OVER, JobStatus
from tfps.jobs.local import supervisor
from tfps.jobs.local.folder import JobFolder
from tfps.jobs.local.lines import lines
from tfps.jobs.local.record import Record
from tfps.jobs.local.supervisor import Target
from tfps.jobs.spec import JobSpec


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where this user's programs keep their state, as XDG has it."""
    given = environ.get("XDG_STATE_HOME", "")
    return Path(given) if os.path.isabs(given) else Path.home() / ".local" / "state"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SupervisedLauncher(abc.ABC):
    """Jobs that a process here runs, which goes on when the command that submitted them has ended.

    Attributes:
        target: Whose jobs they are; the supervisor plans their processes by it.
        state: Below it jobs are written down, in `tfps/TARGET/NAME`.
    """

    target: ClassVar[Target]

    state: Path = dataclasses.field(default_factory=state_folder)

    @abc.abstractmethod
    def check(self, spec: JobSpec) -> None:
        """Check what a job needs to be started.

        Raises:
            LaunchError: It cannot be started as it is.
        """

    def submit(self, spec: JobSpec, *, dry_run: bool) -> str:
        """Start the job, and return its name.

        What is left of a job of this name that has ended is removed.

        Raises:
            LaunchError: The job cannot be started as it is, one of its name runs, or its folder
                cannot be written.
        """
        self._check_not_running(spec)
        self.check(spec)
        if dry_run:
            return spec.name
        with _system_errors_told(), self._alone(spec):
            self._check_not_running(spec)
            self._start(spec)
        return spec.name

    def status(self, spec: JobSpec) -> JobStatus:
        """Tell how the job is.

        Raises:
            LaunchError: No job of this name was submitted, or its record cannot be read.
        """
        record = self._record(spec)
        where = f"output in {self._folder(spec).path}"
        return JobStatus(
            name=spec.name,
            state=record.state,
            message=f"{record.message}, {where}" if record.message else where,
            tasks=tuple(task.status for task in record.tasks),
        )

    def logs(self, spec: JobSpec, task: Task, *, follow: bool) -> Iterator[str]:
        """Iterate over the lines that a task has written, restarts included.

        Raises:
            LaunchError: No job of this name was submitted, or it cannot be read.
        """
        first = self._record(spec)

        def goes_on() -> bool:
            now = self._record(spec)
            [state] = [record.state for record in now.tasks if record.task == task]
            return follow and now.supervisor == first.supervisor and state not in OVER

        with _system_errors_told():
            yield from lines(self._folder(spec).output(task), goes_on)

    def cancel(self, spec: JobSpec) -> str:
        """End the job's tasks; what they have written stays until the name is used again.

        Raises:
            LaunchError: No job of this name was submitted, or it cannot be ended from here.
        """
        record = self._record(spec)
        where = f"Its output stays in {self._folder(spec).path}."
        if record.is_over:
            return f"{spec.name} had {record.state} already. {where}"
        record.supervisor.end()
        record = self._record(spec)
        if not record.is_over:
            raise LaunchError(f"{spec.name} cannot be ended: {record.message}.")
        return f"{spec.name} {record.state}: no task is left. {where}"

    def _folder(self, spec: JobSpec) -> JobFolder:
        return JobFolder(self._jobs / spec.name)

    @property
    def _jobs(self) -> Path:
        return self.state / "tfps" / self.target

    def _record(self, spec: JobSpec) -> Record:
        """Read how the job is, which its supervisor may no longer be able to tell."""
        folder = self._folder(spec)
        record = folder.read()
        if record.is_over or record.supervisor.process() is not None:
            return record
        if record.supervisor.is_elsewhere:
            host = record.supervisor.host
            message = f"it was started on {host}: ask there, or remove {folder.path}"
            return dataclasses.replace(record, state="unknown", message=message)
        record = folder.read()  # It may have ended between the two looks.
        return record if record.is_over else record.abandoned()

    def _check_not_running(self, spec: JobSpec) -> None:
        folder = self._folder(spec)
        if folder.record_file.exists():
            record = self._record(spec)
            if not record.is_over:
                raise LaunchError(
                    f"A job {spec.name!r} is {record.state} already ({record.message or 'here'}). "
                    "Cancel it with tfps cancel, or give this one another name."
                )
        elif folder.path.exists() and not folder.spec_file.exists():
            raise LaunchError(
                f"{folder.path} was not made for a job. Move it away, or give the job another name."
            )

    @contextlib.contextmanager
    def _alone(self, spec: JobSpec) -> Iterator[None]:
        """Keep others from submitting a job of this name meanwhile."""
        self._jobs.mkdir(parents=True, exist_ok=True)
        with (self._jobs / f"{spec.name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _start(self, spec: JobSpec) -> None:
        folder = self._folder(spec)
        if folder.path.exists():
            shutil.rmtree(folder.path)
        folder.path.mkdir(mode=0o700)
        folder.write_spec(spec)
        arguments = [self.target, str(folder.path), os.getcwd()]
        with folder.supervisor_log.open("wb") as log:
            code = subprocess.run(
                [sys.executable, "-m", supervisor.__name__, *arguments],
                # Where the package is found, whatever lies in the current folder.
                cwd=Path(tfps.__file__).parents[1],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
            ).returncode
        if code != 0:
            said = folder.supervisor_log.read_text(errors="replace").strip()
            shutil.rmtree(folder.path)
            raise LaunchError(f"The process that was to run the job ended at once:\n{said}")


@contextlib.contextmanager
def _system_errors_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LaunchError(
            f"{error}. Jobs are written down in a folder of $XDG_STATE_HOME, or of ~/.local/state; "
            "set XDG_STATE_HOME to one that can be written."
        ) from error
