"""Start a job's supervisor in the background, report the job's status and logs, and cancel it."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Literal

import tfps
from tfps.cluster.spec import Task
from tfps.errors import LaunchError
from tfps.jobs.background.record import JobFolder, JobRecord
from tfps.jobs.spec import JobSpec
from tfps.jobs.targets import OVER, JobStatus

BackgroundTarget = Literal["local", "ssh"]

_SUPERVISOR = "tfps.jobs.background.supervisor"
# A carriage return ends a line, too, for progress bars. But as the last byte of a file, it may be
# the first half of a line end of two bytes.
_LINE_END = re.compile(rb"\r?\n|\r(?=[^\n])")
_CHUNK_BYTES = 1 << 20
_POLL_S = 0.1


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder for the state of this user's programs, by the XDG specification."""
    given = environ.get("XDG_STATE_HOME", "")
    return Path(given) if os.path.isabs(given) else Path.home() / ".local" / "state"


def programs_folder() -> str:
    """Return the folder of the Python that runs tfps, which is the first on the tasks' PATH.

    So tasks that run `python` get the one for which tfps is installed, even if its virtual
    environment is not activated.
    """
    return os.path.dirname(sys.executable)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackgroundLauncher(abc.ABC):
    """Launches jobs whose supervisor is a process of this machine.

    Attributes:
        target: The target, by which the supervisor plans the processes.
        state: The state folder. The folder of a job is `tfps/TARGET/NAME` in it.
    """

    target: ClassVar[BackgroundTarget]

    state: Path = dataclasses.field(default_factory=state_folder)

    @abc.abstractmethod
    def check(self, spec: JobSpec) -> None:
        """Check that a job can be started.

        Raises:
            LaunchError: It cannot.
        """

    def submit(self, spec: JobSpec, *, dry_run: bool) -> str:
        """Start the job, and return its name. The folder of a finished job of this name is removed.

        Raises:
            LaunchError: The job cannot be started, a job of this name runs, or the folder cannot be
                written.
        """
        self._check_not_running(spec)
        self.check(spec)
        if dry_run:
            return spec.name
        with _as_launch_errors(), self._locked(spec):
            self._check_not_running(spec)
            self._start(spec)
        return spec.name

    def status(self, spec: JobSpec) -> JobStatus:
        """Return the status of the job.

        Raises:
            LaunchError: No job of this name was submitted, or its record cannot be read.
        """
        record = self._record(spec)
        output = f"output in {self._folder(spec).path}"
        return JobStatus(
            name=spec.name,
            state=record.state,
            message=f"{record.message}, {output}" if record.message else output,
            tasks=tuple(task.status for task in record.tasks),
        )

    def logs(self, spec: JobSpec, task: Task, *, follow: bool) -> Iterator[str]:
        """Iterate over the lines that a task has written, before and after restarts.

        Raises:
            LaunchError: No job of this name was submitted, or its output cannot be read.
        """
        supervisor = self._record(spec).supervisor

        def may_grow() -> bool:
            current = self._record(spec)
            [state] = [record.state for record in current.tasks if record.task == task]
            return follow and current.supervisor == supervisor and state not in OVER

        with _as_launch_errors():
            yield from lines(self._folder(spec).output(task), may_grow)

    def cancel(self, spec: JobSpec) -> str:
        """End the job's tasks. Their output is kept until the job's name is used again.

        Raises:
            LaunchError: No job of this name was submitted, or it cannot be ended from here.
        """
        record = self._record(spec)
        output = f"Its output stays in {self._folder(spec).path}."
        if record.is_over:
            return f"{spec.name} had {record.state} already. {output}"
        record.supervisor.end()
        record = self._record(spec)
        if not record.is_over:
            raise LaunchError(f"{spec.name} cannot be ended: {record.message}.")
        return f"{spec.name} {record.state}: no task is left. {output}"

    def _folder(self, spec: JobSpec) -> JobFolder:
        return JobFolder(self._jobs / spec.name)

    @property
    def _jobs(self) -> Path:
        return self.state / "tfps" / self.target

    def _record(self, spec: JobSpec) -> JobRecord:
        """Return the state of a job, even if its supervisor was killed."""
        folder = self._folder(spec)
        record = folder.read()
        if record.is_over or record.supervisor.process() is not None:
            return record
        if record.supervisor.is_elsewhere:
            host = record.supervisor.host
            message = f"it was started on {host}: ask there, or remove {folder.path}"
            return dataclasses.replace(record, state="unknown", message=message)
        record = folder.read()  # The job may have ended since the first read.
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
    def _locked(self, spec: JobSpec) -> Iterator[None]:
        """Prevent other processes from submitting a job of this name at the same time."""
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
                [sys.executable, "-m", _SUPERVISOR, *arguments],
                # The folder of the package, so that Python finds tfps rather than something in the
                # current folder.
                cwd=Path(tfps.__file__).parents[1],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
            ).returncode
        if code != 0:
            output = folder.supervisor_log.read_text(errors="replace").strip()
            shutil.rmtree(folder.path)
            raise LaunchError(f"The process that was to run the job ended at once:\n{output}")


def lines(path: Path, may_grow: Callable[[], bool]) -> Iterator[str]:
    """Iterate over the lines of a file that another process writes, without line ends.

    Args:
        path: The file, which need not exist yet.
        may_grow: Returns whether more may be written to the file.
    """
    rest = b""
    for chunk in _chunks(path, may_grow):
        *whole, rest = _LINE_END.split(rest + chunk)
        yield from (line.decode(errors="replace") for line in whole)
    if rest:
        yield rest.rstrip(b"\r").decode(errors="replace")


def _chunks(path: Path, may_grow: Callable[[], bool]) -> Iterator[bytes]:
    num_read, more = 0, True
    while more:
        more = may_grow()  # Asked before reading: what is written later would be missed.
        if path.exists():
            with path.open("rb") as file:
                file.seek(num_read)
                while chunk := file.read(_CHUNK_BYTES):
                    num_read += len(chunk)
                    yield chunk
        if more:
            time.sleep(_POLL_S)


@contextlib.contextmanager
def _as_launch_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LaunchError(
            f"{error}. Jobs are written down in a folder of $XDG_STATE_HOME, or of ~/.local/state; "
            "set XDG_STATE_HOME to one that can be written."
        ) from error
