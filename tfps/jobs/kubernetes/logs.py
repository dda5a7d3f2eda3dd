"""The output of a task: of its pod's container, and of those that take its place."""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from tfps.cluster.spec import Task
from tfps.errors import LaunchError
from tfps.jobs.kubernetes import refusals, states
from tfps.jobs.kubernetes.api_resources import POD
from tfps.jobs.kubernetes.api_server import ApiServer

_LOOK_EVERY_S = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Logs:
    """The output of one task.

    Attributes:
        server: The cluster's.
        selector: Selects the pods of the job.
        task: Which task.
        is_over: Whether the job is.
        start_within_s: How long `follow` waits for the task's first output.
    """

    server: ApiServer
    selector: str
    task: Task
    is_over: Callable[[], bool]
    start_within_s: float = 600.0

    def now(self) -> Iterator[str]:
        """Iterate over the lines that are there."""
        pod = self._pod()
        if pod is None or not states.has_output(pod):
            raise self._no_output(pod)
        with self._opened(pod, follow=False, since_s=None) as pieces:
            yield from _lines(pieces)

    def follow(self) -> Iterator[str]:
        """Iterate over the lines, also those of later starts, until the task has ended."""
        pod = self._first()
        while pod is not None:
            yield from self._until_end(pod)
            pod = self._next(pod)

    def _until_end(self, pod: states.Object) -> Iterator[str]:
        """Follow one start of a container, also when the connection breaks."""
        since: float | None = None
        while True:
            since_s = None if since is None else math.ceil(time.monotonic() - since) + 1
            try:
                with self._opened(pod, follow=True, since_s=since_s) as pieces:
                    for line in _lines(pieces):
                        since = time.monotonic()
                        yield line
                return
            except LaunchError as error:
                now = self._pod()
                if now is None or states.start_of(now) != states.start_of(pod):
                    return
                if refusals.is_answer(error):
                    raise
                since = since or time.monotonic()
                self._say(f"the connection broke ({error}); going on with {_name(pod)}")
            time.sleep(_LOOK_EVERY_S)

    def _first(self) -> states.Object | None:
        deadline = time.monotonic() + self.start_within_s
        told = None
        while (pod := self._pod()) is None or not states.has_output(pod):
            if self.is_over() or time.monotonic() >= deadline:
                raise self._no_output(pod)
            told = self._tell_once(f"waiting: {_why(pod)}", told)
            time.sleep(_LOOK_EVERY_S)
        return pod

    def _next(self, last: states.Object) -> states.Object | None:
        told = None
        while True:
            pod = self._pod()
            if pod is not None and _is_new(pod, last):
                self._say(f"goes on in {_name(pod)}")
                return pod
            if self.is_over() or (pod is not None and states.has_succeeded(pod)):
                return None
            told = self._tell_once(f"waiting to be started again: {_why(pod)}", told)
            time.sleep(_LOOK_EVERY_S)

    def _pod(self) -> states.Object | None:
        pods = states.pods_of(self.task, self.server.list(POD, self.selector))
        return pods[-1] if pods else None

    def _opened(self, pod: states.Object, *, follow: bool, since_s: int | None) -> Any:
        container = states.container_of(pod)
        return self.server.log(_name(pod), container, follow=follow, since_s=since_s)

    def _no_output(self, pod: states.Object | None) -> LaunchError:
        return LaunchError(f"There is no output of {self.task}: {_why(pod).rstrip('.')}.")

    def _tell_once(self, message: str, told: str | None) -> str:
        if message != told:
            self._say(message)
        return message

    def _say(self, message: str) -> None:
        print(f"tfps: {self.task} {message}", file=sys.stderr, flush=True)


def _is_new(pod: states.Object, last: states.Object) -> bool:
    return states.has_output(pod) and states.start_of(pod) != states.start_of(last)


def _name(pod: states.Object) -> str:
    return str(pod["metadata"]["name"])


def _why(pod: states.Object | None) -> str:
    if pod is None:
        return "it has no pod, or none any more"
    return f"pod {_name(pod)}: {states.message_of(pod) or 'starting'}"


def _lines(pieces: Iterator[bytes]) -> Iterator[str]:
    left = b""
    for piece in pieces:
        *whole, left = (left + piece).split(b"\n")
        yield from (line.decode(errors="replace") for line in whole)
    if left:
        yield left.decode(errors="replace")
