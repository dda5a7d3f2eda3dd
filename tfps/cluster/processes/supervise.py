"""Start the processes of a cluster on this machine, watch them, and end them."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
from collections.abc import Sequence
from typing import Literal, Protocol

from tfps.cluster.processes import guard
from tfps.cluster.processes.plan import TaskProcess
from tfps.cluster.processes.task import RunningTask
from tfps.log import say

_FAILED = 1
_OUTPUT_AFTER_END_S = 2.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Patience:
    """How long tasks may take to end, and how soon they are restarted.

    Attributes:
        after_chief_s: From the chief's normal end until the others get SIGTERM.
        after_signal_s: From a signal until SIGKILL.
        before_restart_s: From a task's failure to its first restart; doubled for each further one.
    """

    after_chief_s: float = 10.0
    after_signal_s: float = 5.0
    before_restart_s: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job has ended.

    Attributes:
        why: What ended the job: the chief's end, another task's failure, a signal, or the timeout.
        code: The job's exit code.
        reason: The same in words; empty if the chief ended with 0.
    """

    why: Literal["chief", "failure", "signal", "timeout"]
    code: int
    reason: str = ""


class Watcher(Protocol):
    """An observer of a running job."""

    def task_changed(self, task: RunningTask) -> None:
        """Handle that a task has started or ended."""

    def job_ended(self, outcome: Outcome) -> None:
        """Handle that the last task has ended."""


def run_job(
    processes: Sequence[TaskProcess],
    patience: Patience | None = None,
    *,
    timeout_s: float | None = None,
    watcher: Watcher | None = None,
) -> int:
    """Run the processes until the chief ends, another task fails, or a signal arrives.

    The chief writes directly to this process's terminal, so that its progress bar works. The other
    tasks' lines are prefixed and copied: standard output to this process's standard output, and
    standard error to its standard error. A task with an output file writes there instead. A task
    that fails is restarted as often as its plan allows. No process is left when this returns.

    Args:
        processes: One for each task, the chief included.
        patience: The waiting times.
        timeout_s: The job is ended after this many seconds; None for never.
        watcher: Is told about the job's progress, in a child of this process.

    Returns:
        The chief's exit code; 128 plus the signal's number if a signal ended the chief or this
        process (SIGALRM for the timeout); 1 if another task failed, which is then named on standard
        error.
    """
    job = _Job(processes, patience or Patience(), timeout_s, watcher or _Nobody())
    return guard.guarded(lambda launcher_gone: asyncio.run(job.run(launcher_gone)))


class _Nobody:
    def task_changed(self, task: RunningTask) -> None:
        pass

    def job_ended(self, outcome: Outcome) -> None:
        pass


class _Job:
    """The processes of one job, from their start to the end of the last one."""

    def __init__(
        self,
        processes: Sequence[TaskProcess],
        patience: Patience,
        timeout_s: float | None,
        watcher: Watcher,
    ) -> None:
        self._processes = processes
        self._patience = patience
        self._timeout_s = timeout_s
        self._watcher = watcher
        self._tasks: list[RunningTask] = []

    async def run(self, launcher_gone: int) -> int:
        signals = _received_signals(launcher_gone)
        if self._timeout_s is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(self._timeout_s, signals.put_nowait, signal.SIGALRM)
        try:
            await self._start_all()
            outcome = await self._until_over(signals)
        finally:
            await self._kill_all()
        self._watcher.job_ended(outcome)
        return outcome.code

    async def _start_all(self) -> None:
        for process in self._processes:
            task = RunningTask(
                process,
                pause_s=self._patience.before_restart_s,
                changed=self._watcher.task_changed,
            )
            await task.start()
            self._tasks.append(task)

    async def _until_over(self, signals: asyncio.Queue[int]) -> Outcome:
        (chief,) = (task for task in self._tasks if task.planned.task.type == "chief")
        signalled = asyncio.create_task(signals.get())
        while not (signalled.done() or chief.ended.done()):
            failed = [task for task in self._tasks if task.has_failed and task.planned.is_needed]
            if failed:
                signalled.cancel()
                return await self._after_failure(failed[0], signals)
            live = {task.ended for task in self._tasks if not task.ended.done()}
            await asyncio.wait({signalled, *live}, return_when=asyncio.FIRST_COMPLETED)
        if signalled.done():
            return await self._after_signal(signalled.result(), signals)
        signalled.cancel()
        return await self._after_chief(chief, signals)

    async def _after_failure(self, failed: RunningTask, signals: asyncio.Queue[int]) -> Outcome:
        reason = f"{failed.planned.task} {failed.how_it_ended}"
        if failed.planned.output is None:
            last_lines = b"".join(failed.last_lines).decode(errors="replace") or "(no output)"
            say(f"{reason}. Its last lines:\n{last_lines.rstrip()}", "tfps local")
        else:
            say(f"{reason}.", "tfps local")
        await self._stop(signal.SIGTERM, signals)
        return Outcome(why="failure", code=_FAILED, reason=reason)

    async def _after_signal(self, number: int, signals: asyncio.Queue[int]) -> Outcome:
        name = signal.Signals(number).name
        if number == signal.SIGALRM:
            reason = f"its time of {self._timeout_s:g} s is over"
            say(f"{reason}: stopping all tasks.", "tfps local")
            await self._stop(signal.SIGTERM, signals)
            return Outcome(why="timeout", code=128 + number, reason=reason)
        if number != signal.SIGKILL:  # Then nobody is left to wait for the tasks.
            say(f"{name}: stopping all tasks. Repeat it to kill them.", "tfps local")
            await self._stop(number, signals)
        return Outcome(why="signal", code=128 + number, reason=name)

    async def _after_chief(self, chief: RunningTask, signals: asyncio.Queue[int]) -> Outcome:
        code = chief.ended.result()
        reason = f"the chief {chief.how_it_ended}" if code else ""
        if code == 0:
            await self._wait_for_all(self._patience.after_chief_s, signals)
        else:
            say(f"{reason}.", "tfps local")
        await self._stop(signal.SIGTERM, signals)
        return Outcome(why="chief", code=code if code >= 0 else 128 - code, reason=reason)

    async def _stop(self, number: int, signals: asyncio.Queue[int]) -> None:
        for task in self._tasks:
            task.stop(number)
        await self._wait_for_all(self._patience.after_signal_s, signals)

    async def _wait_for_all(self, timeout_s: float, signals: asyncio.Queue[int]) -> None:
        """Wait until all tasks have ended, the time is over, or another signal arrives."""
        live = {task.ended for task in self._tasks if not task.ended.done()}
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
        for task in self._tasks:
            task.stop(signal.SIGKILL)
        if self._tasks:
            await asyncio.wait({task.ended for task in self._tasks})
        guard.kill_descendants()
        copies = {copy for task in self._tasks for copy in task.copies}
        if copies:
            await asyncio.wait(copies, timeout=_OUTPUT_AFTER_END_S)


def _received_signals(launcher_gone: int) -> asyncio.Queue[int]:
    """Return a queue of received signals; the launcher's end counts as SIGKILL."""
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
