"""Start processes for a test, wait for what they do, and find every one of them again."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import psutil

from tfps.cluster.spec import ClusterSpec, Task
from tfps.cluster.tf_config import TFConfig

PROGRAMS = Path(__file__).parent / "programs"
_MARK = "TFPS_TEST_PROCESSES"

T = TypeVar("T")


def until(condition: Callable[[], T], *, deadline_s: float = 30.0) -> T:
    """Return the condition's value as soon as it is true; fail when it never is."""
    deadline = time.monotonic() + deadline_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {deadline_s:g} s"
        time.sleep(0.02)
    return value


def program(name: str, *arguments: str) -> list[str]:
    """Return the command that runs one of `programs/`."""
    return [sys.executable, str(PROGRAMS / name), *arguments]


@dataclasses.dataclass
class Processes:
    """Processes of one test, known by a mark in the environment that their children inherit."""

    folder: Path
    mark: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)
    started: list[subprocess.Popen[bytes]] = dataclasses.field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What marks a process and its descendants as ours."""
        return {_MARK: self.mark}

    def start(
        self, command: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a command in its own session, with its output in files of `folder`."""
        number = len(self.started)
        with (
            (self.folder / f"{number}.out").open("wb") as out,
            (self.folder / f"{number}.err").open("wb") as err,
        ):
            process = subprocess.Popen(
                command,
                env={**os.environ, **(environment or {}), **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def start_task(
        self, command: Sequence[str], cluster: ClusterSpec, task: Task, **environment: str
    ) -> subprocess.Popen[bytes]:
        """Start a command as a task of a cluster."""
        config = TFConfig(cluster=cluster, task=task).to_json()
        return self.start(command, environment={"TF_CONFIG": config, **environment})

    def out(self, number: int = 0) -> str:
        """Return what the process of this number has written to standard output so far."""
        return (self.folder / f"{number}.out").read_bytes().decode()

    def err(self, number: int = 0) -> str:
        """Return what the process of this number has written to standard error so far."""
        return (self.folder / f"{number}.err").read_bytes().decode()

    def living(self) -> list[psutil.Process]:
        """Return all processes that live: those that were started and all their descendants."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error):
            return process.environ().get(_MARK) == self.mark
        return False

    def until_gone(self, *, deadline_s: float = 10.0) -> None:
        """Wait until none of them lives; fail with their command lines when one stays."""
        with contextlib.suppress(AssertionError):
            until(lambda: not self.living(), deadline_s=deadline_s)
        left = [process.cmdline() for process in self.living()]
        assert left == []

    def kill(self) -> None:
        """Kill whatever is left, after a test that failed."""
        for process in self.living():
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)
        for started in self.started:
            started.wait(timeout=10)


@contextlib.contextmanager
def processes(folder: Path) -> Iterator[Processes]:
    """Give the test its processes, and kill those that it leaves."""
    ours = Processes(folder)
    try:
        yield ours
    finally:
        ours.kill()
