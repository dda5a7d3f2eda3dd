"""Start contenders, let them take turns, and end them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from benchmarks import traffic
from benchmarks.compare import protocol
from benchmarks.compare.protocol import Answer, M, Ready
from tfps.cluster.local import guard

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
    """What became of a contender.

    Attributes:
        parameters: Of its model.
        rounds: Its turns; None where it did not run.
        fault: How it failed; empty if it did not.
    """

    parameters: int = 0
    rounds: list[Round | None] = dataclasses.field(default_factory=list)
    fault: str = ""


class Running:
    """A contender whose processes run; they idle but in its turns."""

    def __init__(self, name: str, log: Path) -> None:
        """Take its name, and the file that its processes write their standard error to."""
        self._name = name
        self._log = log
        self._processes: list[Process] = []

    async def start(self, plan: Plan) -> None:
        """Start the processes, in a process group each, to be ended by `end`."""
        with self._log.open("wb") as log:
            for command in plan.commands:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    env=plan.environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
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
        """Let the processes run their steps, and wait until all idle again.

        Raises:
            ContenderError: One ended, or said nothing for `timeout_s`.
        """
        for process in self._processes:
            with contextlib.suppress(ConnectionError):  # Of one that ended; the answer tells.
                process.stdin.write(f"{protocol.RUN}\n".encode())
                await process.stdin.drain()
        return protocol.together(await self._hear(Answer, timeout_s, "its turn is over"))

    async def end(self, timeout_s: float) -> None:
        """Ask the processes to end, and kill what is left after `timeout_s`."""
        for process in self._processes:
            process.stdin.close()
        await self._wait(timeout_s)
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        await self._wait(timeout_s)

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
        lines = self._log.read_text(errors="replace").splitlines()
        last = "\n".join(lines[-_LAST_LINES:]) or "(no output)"
        return ContenderError(f"{how}. Its last lines:\n{last}")


async def take_turns(
    plans: Sequence[Plan], *, rounds: int, logs: Path, least_memory_gib: float, patience: Patience
) -> dict[str, Outcome]:
    """Start all contenders, warm them up by a turn each, and let them take turns; end them.

    A contender that fails is out, and the others go on. Each round begins with another one, so that
    none always follows the same.

    Args:
        plans: The contenders.
        rounds: Turns of each, after the one that warms it up.
        logs: A folder for what they write to standard error.
        least_memory_gib: Nobody is started when the machine has less memory available.
        patience: How long they may take.
    """
    outcomes = {plan.name: Outcome(fault=plan.fault) for plan in plans}
    running: dict[str, Running] = {}
    try:
        for plan in plans:
            outcome = outcomes[plan.name]
            if not outcome.fault:
                outcome.fault = _too_little_memory(least_memory_gib)
            if outcome.fault:
                _say(f"{plan.name}: {outcome.fault}")
                continue
            _say(f"{plan.name}: starts")
            contender = running[plan.name] = Running(plan.name, logs / f"{plan.name}.log")
            try:
                await contender.start(plan)
                outcome.parameters = (await contender.ready(patience.start_s)).parameters
                await contender.turn(patience.turn_s)
            except ContenderError as error:
                await _give_up(plan.name, running, outcome, error, patience)
        for number in range(rounds):
            for name in _rotated(list(outcomes), number):
                await _round(name, running, outcomes[name], patience)
            _say(f"round {number + 1} of {rounds} is over")
    finally:
        await asyncio.gather(*(one.end(patience.end_s) for one in running.values()))
    return outcomes


async def _round(
    name: str, running: dict[str, Running], outcome: Outcome, patience: Patience
) -> None:
    if name not in running:
        outcome.rounds.append(None)
        return
    before = traffic.loopback_bytes()
    try:
        answer = await running[name].turn(patience.turn_s)
    except ContenderError as error:
        outcome.rounds.append(None)
        await _give_up(name, running, outcome, error, patience)
        return
    moved = traffic.loopback_bytes() - before
    outcome.rounds.append(Round(answer=answer, loopback_bytes=moved))


async def _give_up(
    name: str,
    running: dict[str, Running],
    outcome: Outcome,
    error: ContenderError,
    patience: Patience,
) -> None:
    _say(f"{name}: {error}")
    outcome.fault = str(error).splitlines()[0].removesuffix(". Its last lines:")
    await running.pop(name).end(patience.end_s)


def _rotated(names: list[str], by: int) -> list[str]:
    first = by % len(names)
    return names[first:] + names[:first]


def _too_little_memory(least_gib: float) -> str:
    available = psutil.virtual_memory().available / _GIB
    if available >= least_gib:
        return ""
    return (
        f"not started: {available:.1f} GiB of memory were available, --least-memory-gib asks more"
    )


def _say(sentence: str) -> None:
    print(f"compare: {sentence}", file=sys.stderr, flush=True)
