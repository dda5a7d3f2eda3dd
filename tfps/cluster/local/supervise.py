"""Start the processes of a local job, watch them, and end them."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from tfps.cluster.local import guard, output
from tfps.cluster.local.plan import TaskProcess
from tfps.cluster.spec import Task

_KEPT_LINES = 20
_OUTPUT_AFTER_END_S = 2.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Patience:
    """How long tasks may take to end.

    Attributes:
        after_chief_s: From the chief's normal end until the others get SIGTERM.
        after_signal_s: From a signal until SIGKILL.
    """

    after_chief_s: float = 10.0
    after_signal_s: float = 5.0


def run_job(processes: Sequence[TaskProcess], patience: Patience | None = None) -> int:
    """Run the processes until the chief ends, another of them fails, or a signal comes.

    The chief's output passes untouched, to the same terminal, so that its progress bar works. Each
    line of the others is prefixed: what they write to standard output goes to this process's, and
    so for standard error. No process is left when this returns.

    Returns:
        The chief's exit code; 128 plus a signal's number when the chief or this process was ended
        by one; 1 when another task failed, which is then named on standard error.
    """
    job = _Job(processes, patience or Patience())
    return guard.guarded(lambda launcher_gone: asyncio.run(job.run(launcher_gone)))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Running:
    task: Task
    pid: int
    ended: asyncio.Task[int]
    copies: Sequence[asyncio.Task[None]]
    last_lines: collections.deque[bytes]

    @property
    def has_failed(self) -> bool:
        return self.ended.done() and self.ended.result() != 0

    def send(self, number: int) -> None:
        # A task leads its own process group, so the signal reaches what it started as well.
        if not self.ended.done():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)


class _Job:
    """The processes of one job, from their start to the end of the last one."""

    def __init__(self, processes: Sequence[TaskProcess], patience: Patience) -> None:
        self._processes = processes
        self._patience = patience
        self._running: list[_Running] = []

    async def run(self, launcher_gone: int) -> int:
        signals = _received_signals(launcher_gone)
        try:
            for process in self._processes:
                self._running.append(await _start(process))
            return await self._until_over(signals)
        finally:
            await self._kill_all()

    async def _until_over(self, signals: asyncio.Queue[int]) -> int:
        (chief,) = (running for running in self._running if running.task.type == "chief")
        signalled = asyncio.create_task(signals.get())
        while not (signalled.done() or chief.ended.done()):
            failed = [running for running in self._running if running.has_failed]
            if failed:
                signalled.cancel()
                _report_failure(failed[0])
                await self._stop(signal.SIGTERM, signals)
                return 1
            live = {running.ended for running in self._running if not running.ended.done()}
            await asyncio.wait({signalled, *live}, return_when=asyncio.FIRST_COMPLETED)
        if signalled.done():
            return await self._after_signal(signalled.result(), signals)
        signalled.cancel()
        return await self._after_chief(chief.ended.result(), signals)

    async def _after_signal(self, number: int, signals: asyncio.Queue[int]) -> int:
        if number != signal.SIGKILL:  # Then nobody is left to wait for the tasks.
            _say(f"{signal.Signals(number).name}: stopping all tasks. Repeat it to kill them.")
            await self._stop(number, signals)
        return 128 + number

    async def _after_chief(self, code: int, signals: asyncio.Queue[int]) -> int:
        if code == 0:
            await self._wait_for_all(self._patience.after_chief_s, signals)
        else:
            _say(f"the chief {_how_it_ended(code)}.")
        await self._stop(signal.SIGTERM, signals)
        return _shell_code(code)

    async def _stop(self, number: int, signals: asyncio.Queue[int]) -> None:
        for running in self._running:
            running.send(number)
        await self._wait_for_all(self._patience.after_signal_s, signals)

    async def _wait_for_all(self, timeout_s: float, signals: asyncio.Queue[int]) -> None:
        """Wait until all have ended, the time is over, or one more signal hurries us."""
        live = {running.ended for running in self._running if not running.ended.done()}
        if not live:
            return
        everyone = asyncio.create_task(asyncio.wait(live))
        hurried = asyncio.create_task(signals.get())
        await asyncio.wait(
            {everyone, hurried}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        everyone.cancel()
        hurried.cancel()

    async def _kill_all(self) -> None:
        for running in self._running:
            running.send(signal.SIGKILL)
        if self._running:
            await asyncio.wait({running.ended for running in self._running})
        guard.kill_descendants()
        copies = {copy for running in self._running for copy in running.copies}
        if copies:
            await asyncio.wait(copies, timeout=_OUTPUT_AFTER_END_S)


def _received_signals(launcher_gone: int) -> asyncio.Queue[int]:
    """Return a queue of the signals that come; the end of the launcher counts as SIGKILL."""
    loop = asyncio.get_running_loop()
    received: asyncio.Queue[int] = asyncio.Queue()

    def receive_launcher_gone() -> None:
        loop.remove_reader(launcher_gone)
        received.put_nowait(signal.SIGKILL)

    for number in guard.FORWARDED_SIGNALS:
        loop.add_signal_handler(number, received.put_nowait, number)
    loop.add_reader(launcher_gone, receive_launcher_gone)
    guard.unblock_signals()
    return received


async def _start(planned: TaskProcess) -> _Running:
    last_lines: collections.deque[bytes] = collections.deque(maxlen=_KEPT_LINES)
    if planned.task.type == "chief":
        process = await _spawn(planned)
        copies = []
    else:
        out, err = os.pipe(), os.pipe()
        process = await _spawn(planned, stdin=subprocess.DEVNULL, stdout=out[1], stderr=err[1])
        os.close(out[1])
        os.close(err[1])
        sinks = ((out[0], sys.stdout.buffer), (err[0], sys.stderr.buffer))
        copies = [
            asyncio.create_task(
                output.copy_prefixed(await _reader(source), sink, _prefixer(planned), last_lines)
            )
            for source, sink in sinks
        ]
    ended = asyncio.create_task(process.wait())
    return _Running(
        task=planned.task, pid=process.pid, ended=ended, copies=copies, last_lines=last_lines
    )


def _prefixer(planned: TaskProcess) -> output.LinePrefixer:
    return output.LinePrefixer(planned.prefix, drop_remarks=not planned.shows_remarks)


async def _spawn(
    planned: TaskProcess,
    *,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
) -> asyncio.subprocess.Process:
    # The pipes are ours and not asyncio's, whose wait() lasts until they are closed: a task that
    # has failed may have left a child behind that keeps them open.
    return await asyncio.create_subprocess_exec(
        *planned.command,
        env=planned.environment,
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


def _report_failure(failed: _Running) -> None:
    last_lines = b"".join(failed.last_lines).decode(errors="replace") or "(no output)"
    how = _how_it_ended(failed.ended.result())
    _say(f"{failed.task} {how}. Its last lines:\n{last_lines.rstrip()}")


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def _shell_code(code: int) -> int:
    return code if code >= 0 else 128 - code


def _say(sentence: str) -> None:
    # Whoever read our standard error may be gone; the tasks must end all the same.
    with contextlib.suppress(BrokenPipeError):
        print(f"tfps local: {sentence}", file=sys.stderr, flush=True)
