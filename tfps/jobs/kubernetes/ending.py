"""Ends a job of plain objects with its chief: `python -m tfps.jobs.kubernetes.ending NAME`.

This runs in the cluster, beside the job. When the Job NAME-chief has ended, it scales the
StatefulSets NAME-worker and NAME-ps to zero. Unless the chief has succeeded, it also deletes the
Job NAME-evaluator, which would wait for further checkpoints. It repeats failed requests until all
is done, whatever the API server answers.
"""

from __future__ import annotations

import dataclasses
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn, TypeVar

from tfps.errors import LaunchError
from tfps.jobs.kubernetes.api_resources import JOB, STATEFUL_SET
from tfps.jobs.kubernetes.api_server import ApiServer, connect, lacks_rights
from tfps.jobs.kubernetes.states import end_of
from tfps.jobs.targets import State
from tfps.log import say

_POLL_S = 2.0
_POLLS_UNTIL_GONE = 30

T = TypeVar("T")


def end_with_chief(server: ApiServer, name: str, *, poll_s: float = _POLL_S) -> State:
    """Wait for the end of a job's chief, end the other tasks, and return the chief's final state.

    Args:
        server: The API server, with the job's namespace.
        name: The job's name.
        poll_s: Seconds between two requests.
    """
    end: State = _retry(_ChiefJob(server, f"{name}-chief").end, poll_s)
    _retry(lambda: _end_others(server, name, and_evaluator=end != "succeeded"), poll_s)
    return end


def main() -> int:
    """Run for the job that the command line names, and return the exit code."""
    # Without a handler, a signal does not end the first process of a container.
    signal.signal(signal.SIGTERM, _exit)
    [name] = sys.argv[1:]
    try:
        server = connect(None)
    except LaunchError as error:
        say(str(error))
        return 1
    print(f"tfps: waiting for the end of job.batch/{name}-chief", flush=True)
    print(f"tfps: it has {end_with_chief(server, name)}; the others are ended", flush=True)
    return 0


@dataclasses.dataclass
class _ChiefJob:
    """The Job of a chief. If it has been missing for a minute, someone has deleted it."""

    server: ApiServer
    name: str
    polls_without: int = 0

    def end(self) -> State | None:
        """Return the Job's final state; None while it has not ended."""
        job = self.server.get(JOB, self.name)
        self.polls_without = 0 if job else self.polls_without + 1
        if self.polls_without >= _POLLS_UNTIL_GONE:
            return "cancelled"
        return end_of(job or {})[0]


def _end_others(server: ApiServer, name: str, *, and_evaluator: bool) -> bool:
    for role in ("worker", "ps"):
        server.scale_to_zero(STATEFUL_SET, f"{name}-{role}")
    try:
        if and_evaluator:
            server.delete(JOB, f"{name}-evaluator")
    except LaunchError as error:
        # A job without an evaluator gives no right to delete one.
        if not lacks_rights(error):
            raise
    return True


def _retry(action: Callable[[], T | None], poll_s: float) -> T:
    """Call a function until it returns a result; log each new error."""
    pause = threading.Event()
    logged = ""
    while True:
        try:
            result = action()
            if result is not None:
                return result
        except LaunchError as error:
            if str(error) != logged:
                say(str(error))
            logged = str(error)
        pause.wait(poll_s)


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
