"""One task of a cluster on this machine: its process, its output, and its restarts."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from tfps.cluster.processes import guard, output
from tfps.cluster.processes.plan import TaskProcess
from tfps.log import say

USAGE_ERROR = 2
"""A task that exits with this code was started with wrong arguments, so it is not restarted."""

_CANNOT_RUN = 126
_KEPT_LINES = 20
_LONGEST_PAUSE_S = 60.0


class RunningTask:
    """A task from its first start to its last end.

    Attributes:
        planned: What the task runs.
        state: Whether it is running, is waiting to be (re)started, or has ended for good.
        pid: The id of its latest process.
        code: The exit code of the latest process that has ended.
        restarts: How often it was restarted.
        ended: Done when it has ended for good; gives the exit code of its last process.
        copies: The asyncio tasks that copy its output.
        last_lines: The last lines of output that were copied.
    """

    def __init__(
        self, planned: TaskProcess, *, pause_s: float, changed: Callable[[RunningTask], None]
    ) -> None:
        """Plan the task; `start` starts it.

        Args:
            planned: What the task runs.
            pause_s: Time until its first restart; doubled for each further one.
            changed: Called whenever the state has changed.
        """
        self.planned = planned
        self.state: Literal["pending", "running", "ended"] = "pending"
        self.pid: int | None = None
        self.code: int | None = None
        self.restarts = 0
        self.ended: asyncio.Task[int]
        self.copies: list[asyncio.Task[None]] = []
        self.last_lines: collections.deque[bytes] = collections.deque(maxlen=_KEPT_LINES)
        self._input: asyncio.StreamWriter | None = None
        self._pause_s = pause_s
        self._changed = changed
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        """Start the task.

        Raises:
            OSError: Its program cannot be run.
        """
        process = await self._start()
        self.ended = asyncio.create_task(self._until_ended(process))

    @property
    def has_failed(self) -> bool:
        """Whether it has ended for good with a code other than 0."""
        return self.ended.done() and self.code != 0

    @property
    def was_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    @property
    def how_it_ended(self) -> str:
        """How its last process ended, e.g. `ended with code 1 after 3 restarts`."""
        if self.code is None:
            return ""
        times = f" after {self.restarts} restart{'s' * (self.restarts > 1)}"
        return _how_it_ended(self.code) + (times if self.restarts else "")

    def stop(self, number: int) -> None:
        """Send the task a signal if it is running; it is not restarted."""
        self._stopping.set()
        if self._input is not None and number != signal.SIGKILL:
            self._input.close()
        # A task leads its own process group, so the signal also reaches the processes it started.
        elif self.state == "running" and self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    async def _until_ended(self, process: asyncio.subprocess.Process) -> int:
        self.code = await process.wait()
        while self._is_started_again(self.code):
            guard.kill_session(process.pid)
            await self._pause()
            if self._stopping.is_set():
                break
            self.restarts += 1
            try:
                process = await self._start()
            except OSError as error:
                self._note(f"cannot be started again: {error}")
                self.code = _CANNOT_RUN
                continue
            if (
                self._stopping.is_set()
            ):  # `stop` was called meanwhile, and its signal missed the process.
                self.stop(signal.SIGKILL)
            self.code = await process.wait()
        self._set("ended")
        return self.code

    def _is_started_again(self, code: int) -> bool:
        return (
            code not in (0, USAGE_ERROR)
            and self.restarts < self.planned.restarts
            and not self._stopping.is_set()
        )

    async def _pause(self) -> None:
        pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2**self.restarts)
        number = f"{self.restarts + 1} of {self.planned.restarts}"
        self._note(f"{self.how_it_ended}; restart {number} follows in {pause_s:g} s.")
        self._set("pending")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), pause_s)

    def _note(self, sentence: str) -> None:
        """Write a line to standard error and to the task's output file."""
        line = f"{self.planned.task} {sentence}"
        say(line, "tfps local")
        if self.planned.output is not None:
            with contextlib.suppress(OSError), self.planned.output.open("a") as file:
                file.write(f"tfps: {line}\n")

    def _set(self, state: Literal["pending", "running", "ended"]) -> None:
        self.state = state
        self._changed(self)

    async def _start(self) -> asyncio.subprocess.Process:
        if self.planned.output is not None:
            process = await self._write_to(self.planned.output)
        elif self.planned.task.type == "chief":
            process = await self._spawn()
        else:
            process = await self._copy_output()
        self.pid = process.pid
        self._set("running")
        return process

    async def _write_to(self, path: Path) -> asyncio.subprocess.Process:
        source = subprocess.PIPE if self.planned.holds_input else subprocess.DEVNULL
        with path.open("ab") as file:
            process = await self._spawn(source, file.fileno(), file.fileno())
        self._input = process.stdin
        return process

    async def _copy_output(self) -> asyncio.subprocess.Process:
        # With asyncio's own pipes, wait() would last until they are closed; a child that a failed
        # task has left behind may keep them open.
        out, err = os.pipe(), os.pipe()
        process = await self._spawn(subprocess.DEVNULL, out[1], err[1])
        os.close(out[1])
        os.close(err[1])
        for source, sink in ((out[0], sys.stdout.buffer), (err[0], sys.stderr.buffer)):
            prefixer = output.LinePrefixer(
                self.planned.prefix, drop_info=not self.planned.shows_info
            )
            copying = output.copy_prefixed(await _reader(source), sink, prefixer, self.last_lines)
            self.copies.append(asyncio.create_task(copying))
        return process

    async def _spawn(
        self, stdin: int | None = None, stdout: int | None = None, stderr: int | None = None
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self.planned.command,
            env=self.planned.environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            preexec_fn=guard.die_with_parent,
        )


async def _reader(pipe: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(pipe, "rb", 0))
    return reader


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"
