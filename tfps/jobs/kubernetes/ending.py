"""Ends a job of plain objects with its chief: `python -m tfps.jobs.kubernetes.ending NAME`.

It runs in the cluster, beside the job. When the Job NAME-chief is over, it scales the StatefulSets
NAME-worker and NAME-ps to zero; unless the chief has succeeded, it deletes the Job NAME-evaluator,
which would wait for more. Whatever the API server answers, it tries again until that is done.
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
from tfps.jobs.kubernetes import refusals
from tfps.jobs.kubernetes.api_resources import JOB, STATEFUL_SET
from tfps.jobs.kubernetes.api_server import ApiServer, connect
from tfps.jobs.kubernetes.states import end_of
from tfps.jobs.launching import State

_LOOK_EVERY_S = 2.0
_LOOKS_UNTIL_GONE = 30

T = TypeVar("T")


def end_with_chief(server: ApiServer, name: str, *, look_every_s: float = _LOOK_EVERY_S) -> State:
    """Wait until the chief of a job is over, end the others, and return how the chief ended.

    Args:
        server: The cluster's, with the job's namespace.
        name: The job's.
        look_every_s: Seconds between two looks at the chief, or two tries to end the others.
    """
    end: State = _insist(_Chief(server, f"{name}-chief").end, look_every_s)
    _insist(lambda: _end_others(server, name, and_evaluator=end != "succeeded"), look_every_s)
    return end


def main() -> int:
    """Run for the job that the command line names."""
    # The first process of a container is not ended by a signal that it does not handle.
    signal.signal(signal.SIGTERM, _exit)
    [name] = sys.argv[1:]
    try:
        server = connect(None)
    except LaunchError as error:
        print(f"tfps: {error}", file=sys.stderr)
        return 1
    print(f"tfps: waiting for the end of job.batch/{name}-chief", flush=True)
    print(f"tfps: it has {end_with_chief(server, name)}; the others are ended", flush=True)
    return 0


@dataclasses.dataclass
class _Chief:
    """The Job of a chief; once it has been missing for a minute, someone has deleted it."""

    server: ApiServer
    name: str
    looks_without: int = 0

    def end(self) -> State | None:
        """Look how it has ended; None while it has not."""
        job = self.server.get(JOB, self.name)
        self.looks_without = 0 if job else self.looks_without + 1
        if self.looks_without >= _LOOKS_UNTIL_GONE:
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
        if not refusals.is_for_lack_of_rights(error):
            raise
    return True


def _insist(action: Callable[[], T | None], every_s: float) -> T:
    """Act until there is a result; tell what fails meanwhile."""
    pause = threading.Event()
    told = ""
    while True:
        try:
            result = action()
            if result is not None:
                return result
        except LaunchError as error:
            if str(error) != told:
                print(f"tfps: {error}", file=sys.stderr, flush=True)
            told = str(error)
        pause.wait(every_s)


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
