"""Start contenders, let them take turns, and end them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from typing import Self

import psutil

from benchmarks import traffic
from benchmarks.compare import protocol
from benchmarks.compare.protocol import Answer, M, Ready
from tfps.cluster.processes import guard

_GIB = 1 << 30
_LAST_LINES = 15
_LONGEST_LINE_BYTES = 1 << 20


class ContenderError(RuntimeError):
    """A contender failed; the text says how, with its last lines."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a contender may take.

    Attributes:
        start_s: Until it is ready.
        turn_s: For one turn.
        end_s: To end by itself.
    """

    start_s: float = 600.0
    turn_s: float = 600.0
    end_s: float = 20.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """A contender that is to be started.

    Attributes:
        name: Its name.
        commands: Its processes; several take their turns at the same time.
        environment: The whole environment of each.
        fault: Why it cannot be started; empty if it can.
    """

    name: str
    commands: Sequence[Sequence[str]]
    environment: Mapping[str, str]
    fault: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Round:
    """One turn of one contender.

    Attributes:
        answer: What it said.
        loopback_bytes: What crossed the loopback device meanwhile.
    """

    answer: Answer
    loopback_bytes: int


@dataclasses.dataclass(kw_only=True)
class Outcome:
    """The turns of a contender, and its failure if it failed.

    Attributes:
        parameters: Of its model.
        rounds: Its turns; None where it did not run.
        fault: How it failed; empty if it did not.
    """

    parameters: int = 0
    rounds: list[Round | None] = dataclasses.field(default_factory=list)
    fault: str = ""


class Running:
    """A contender whose processes run; they are idle except in its turns."""

    def __init__(self) -> None:
        """Start nothing yet."""
        # What its processes write to standard error. The file has no name, so none can stay.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._processes: list[Process] = []

    async def start(self, plan: Plan) -> None:
        """Start the processes, each in its own process group; `end` ends them."""
        for command in plan.commands:
            process = await asyncio.create_subprocess_exec(
                *command,
                env=plan.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                limit=_LONGEST_LINE_BYTES,
                start_new_session=True,
                preexec_fn=guard.die_with_parent,
            )
            self._processes.append(process)

    async def ready(self, timeout_s: float) -> Ready:
        """Wait until every process waits for its turn.

        Raises:
            ContenderError: One ended, or said nothing for `timeout_s`.
        """
        return (await self._hear(Ready, timeout_s, "its model is made"))[0]

    async def turn(self, timeout_s: float) -> Answer:
        """Let the processes run their steps, and wait until all are idle again.

        Raises:
            ContenderError: One ended, or said nothing for `timeout_s`.
        """
        for process in self._processes:
            with contextlib.suppress(ConnectionError):  # Of one that ended; the answer tells.
                process.stdin.write(f"{protocol.RUN}\n".encode())
                await process.stdin.drain()
        return protocol.together(await self._hear(Answer, timeout_s, "its turn is over"))

    async def end(self, timeout_s: float) -> None:
        """Ask the processes to end, and kill those that still run after `timeout_s`."""
        for process in self._processes:
            process.stdin.close()
        await self._wait(timeout_s)
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        await self._wait(timeout_s)
        self._log.close()

    async def _wait(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*(process.wait() for process in self._processes))

    async def _hear(self, kind: type[M], timeout_s: float, until: str) -> list[M]:
        try:
            async with asyncio.timeout(timeout_s):
                messages = (self._message(process, kind) for process in self._processes)
                return list(await asyncio.gather(*messages))
        except TimeoutError as error:
            raise self._failed(f"waited {timeout_s:g} s until {until}") from error

    async def _message(self, process: Process, kind: type[M]) -> M:
        while line := await process.stdout.readline():
            try:
                message = protocol.from_line(line.decode(errors="replace"), kind)
            except ValueError as error:
                raise self._failed(str(error)) from error
            if message is not None:
                return message
        raise self._failed(f"ended with code {await process.wait()}")

    def _failed(self, how: str) -> ContenderError:
        # Seeking would move the processes' place in the file, too.
        written = os.pread(self._log.fileno(), os.fstat(self._log.fileno()).st_size, 0)
        lines = written.decode(errors="replace").splitlines()
        last = "\n".join(lines[-_LAST_LINES:]) or "(no output)"
        return ContenderError(f"{how}. Its last lines:\n{last}")


class Sitting:
    """Contenders that live side by side and take turns.

    As a context manager it ends all that still run.
    """

    def __init__(
        self, plans: Sequence[Plan], *, least_memory_gib: float, patience: Patience
    ) -> None:
        """Start nobody yet.

        Args:
            plans: The contenders.
            least_memory_gib: Nobody is started when the machine has less memory available.
            patience: How long they may take.
        """
        self.outcomes = {plan.name: Outcome(fault=plan.fault) for plan in plans}
        self._plans = {plan.name: plan for plan in plans}
        self._running: dict[str, Running] = {}
        self._least_memory_gib = least_memory_gib
        self._patience = patience

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(one.end(self._patience.end_s) for one in self._running.values()))

    def order(self, number: int) -> list[str]:
        """Return the names in the order of a round.

        Each round begins with another one, so that none always follows the same.
        """
        return _rotated(list(self.outcomes), number)

    async def start(self, name: str) -> bool:
        """Start a contender and wait until it is ready; return whether it is."""
        outcome = self.outcomes[name]
        if not outcome.fault:
            outcome.fault = _too_little_memory(self._least_memory_gib)
        if outcome.fault:
            say(f"{name}: {outcome.fault}")
            return False
        say(f"{name}: starts")
        contender = self._running[name] = Running()
        try:
            await contender.start(self._plans[name])
            outcome.parameters = (await contender.ready(self._patience.start_s)).parameters
        except ContenderError as error:
            await self._give_up(name, error)
        return name in self._running

    async def turn(self, name: str) -> Answer | None:
        """Let a contender take one turn; None if it fails or has failed. The others go on."""
        if name not in self._running:
            return None
        try:
            return await self._running[name].turn(self._patience.turn_s)
        except ContenderError as error:
            await self._give_up(name, error)
            return None

    async def _give_up(self, name: str, error: ContenderError) -> None:
        say(f"{name}: {error}")
        fault = str(error).splitlines()[0].removesuffix(". Its last lines:")
        self.outcomes[name].fault = fault
        await self._running.pop(name).end(self._patience.end_s)


async def take_turns(
    plans: Sequence[Plan], *, rounds: int, least_memory_gib: float, patience: Patience
) -> dict[str, Outcome]:
    """Start all contenders, warm them up by a turn each, and let them take turns; end them.

    A contender that fails is out, and the others go on.

    Args:
        plans: The contenders.
        rounds: Turns of each, after the one that warms it up.
        least_memory_gib: Nobody is started when the machine has less memory available.
        patience: How long they may take.
    """
    sitting = Sitting(plans, least_memory_gib=least_memory_gib, patience=patience)
    async with sitting:
        for plan in plans:
            if await sitting.start(plan.name):
                await sitting.turn(plan.name)
        for number in range(rounds):
            for name in sitting.order(number):
                sitting.outcomes[name].rounds.append(await _round(sitting, name))
            say(f"round {number + 1} of {rounds} is over")
    return sitting.outcomes


async def _round(sitting: Sitting, name: str) -> Round | None:
    before = traffic.loopback_bytes()
    answer = await sitting.turn(name)
    moved = traffic.loopback_bytes() - before
    return None if answer is None else Round(answer=answer, loopback_bytes=moved)


def _rotated(names: list[str], by: int) -> list[str]:
    first = by % len(names)
    return names[first:] + names[:first]


def _too_little_memory(least_gib: float) -> str:
    available = psutil.virtual_memory().available / _GIB
    if available >= least_gib:
        return ""
    return (
        f"not started: {available:.1f} GiB of memory were available, --least-memory-gib asks "
        f"for {least_gib:.1f}"
    )


def say(sentence: str) -> None:
    """Print progress to standard error."""
    print(f"compare: {sentence}", file=sys.stderr, flush=True)
