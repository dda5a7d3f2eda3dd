"""The output of a task: of its pod's container, and of the pods that replace it."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

from tfps.cluster.spec import Task
from tfps.errors import LaunchError
from tfps.jobs.kubernetes import states
from tfps.jobs.kubernetes.api_resources import POD
from tfps.jobs.kubernetes.api_server import ApiServer, is_refusal
from tfps.jobs.kubernetes.states import ReadObject
from tfps.log import say

_POLL_S = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskLogs:
    """The output of one task.

    Attributes:
        server: The API server, with the job's namespace.
        selector: The label selector of the job's pods.
        task: The task.
        is_over: Returns whether the job has ended.
        start_within_s: How long `follow` waits for the task's first output.
    """

    server: ApiServer
    selector: str
    task: Task
    is_over: Callable[[], bool]
    start_within_s: float = 600.0

    def now(self) -> Iterator[str]:
        """Iterate over the lines that exist now."""
        pod = self._pod()
        if pod is None or not states.has_output(pod):
            raise self._no_output(pod)
        with self._open(pod, follow=False, since_s=None) as chunks:
            yield from _lines(chunks)

    def follow(self) -> Iterator[str]:
        """Iterate over the lines, including those of later restarts, until the task has ended."""
        pod = self._first()
        while pod is not None:
            yield from self._until_end(pod)
            pod = self._next(pod)

    def _until_end(self, pod: ReadObject) -> Iterator[str]:
        """Follow one start of a container, and reconnect if the connection breaks."""
        last_line_at: float | None = None
        while True:
            since_s = None
            if last_line_at is not None:
                since_s = math.ceil(time.monotonic() - last_line_at) + 1
            try:
                with self._open(pod, follow=True, since_s=since_s) as chunks:
                    for line in _lines(chunks):
                        last_line_at = time.monotonic()
                        yield line
                return
            except LaunchError as error:
                current = self._pod()
                if current is None or states.start_of(current) != states.start_of(pod):
                    return
                if is_refusal(error):
                    raise
                last_line_at = last_line_at or time.monotonic()
                self._log(f"the connection broke ({error}); going on with {_name(pod)}")
            time.sleep(_POLL_S)

    def _first(self) -> ReadObject | None:
        deadline = time.monotonic() + self.start_within_s
        logged = None
        while (pod := self._pod()) is None or not states.has_output(pod):
            if self.is_over() or time.monotonic() >= deadline:
                raise self._no_output(pod)
            logged = self._log_if_new(f"waiting: {_why(pod)}", logged)
            time.sleep(_POLL_S)
        return pod

    def _next(self, last: ReadObject) -> ReadObject | None:
        logged = None
        while True:
            pod = self._pod()
            if pod is not None and _is_new(pod, last):
                self._log(f"goes on in {_name(pod)}")
                return pod
            if self.is_over() or (pod is not None and states.has_succeeded(pod)):
                return None
            logged = self._log_if_new(f"waiting to be started again: {_why(pod)}", logged)
            time.sleep(_POLL_S)

    def _pod(self) -> ReadObject | None:
        pods = states.pods_of(self.task, self.server.list(POD, self.selector))
        return pods[-1] if pods else None

    def _open(self, pod: ReadObject, *, follow: bool, since_s: int | None) -> Any:
        container = states.container_of(pod)
        return self.server.log(_name(pod), container, follow=follow, since_s=since_s)

    def _no_output(self, pod: ReadObject | None) -> LaunchError:
        return LaunchError(f"There is no output of {self.task}: {_why(pod).rstrip('.')}.")

    def _log_if_new(self, message: str, logged: str | None) -> str:
        if message != logged:
            self._log(message)
        return message

    def _log(self, message: str) -> None:
        say(f"{self.task} {message}")


def _is_new(pod: ReadObject, last: ReadObject) -> bool:
    return states.has_output(pod) and states.start_of(pod) != states.start_of(last)


def _name(pod: ReadObject) -> str:
    return str(pod["metadata"]["name"])


def _why(pod: ReadObject | None) -> str:
    if pod is None:
        return "it has no pod, or none any more"
    return f"pod {_name(pod)}: {states.message_of(pod) or 'starting'}"


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace") for line in whole)
    if rest:
        yield rest.decode(errors="replace")
