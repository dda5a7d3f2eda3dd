"""Which process runs a job: by its machine, its number and its start."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import time

import psutil

from tfps.jobs import checks

_SAME_START_S = 10.0
_END_WITHIN_S = 20.0
_LOOK_EVERY_S = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Supervisor:
    """The process that runs a job.

    Attributes:
        host: Name of its machine; a home folder may be seen by several.
        pid: Its number there.
        started_s: When it started, in seconds since 1970.
    """

    host: str
    pid: int
    started_s: float

    def __post_init__(self) -> None:
        """Check the fields."""
        checks.check(checks.at_least("pid", self.pid, 1))

    @classmethod
    def this(cls) -> Supervisor:
        """Return the process that calls."""
        started_s = psutil.Process().create_time()
        return cls(host=socket.gethostname(), pid=os.getpid(), started_s=started_s)

    @property
    def is_elsewhere(self) -> bool:
        """Whether it is (or was) a process of another machine."""
        return self.host != socket.gethostname()

    def process(self) -> psutil.Process | None:
        """Return the process, if it lives on this machine, and not another one with its number."""
        if self.is_elsewhere:
            return None
        try:
            process = psutil.Process(self.pid)
            # The clock may have been set since; it is what start times are computed from.
            is_it = abs(process.create_time() - self.started_s) < _SAME_START_S
            return process if is_it and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    def end(self) -> None:
        """End the process, if it lives on this machine, by force if it takes its time."""
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
            time.sleep(_LOOK_EVERY_S)
        return True
