"""Following a task's output across restarts, with a server that replays states of its pods."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.jobs.kubernetes.memory_server import AnswerError, refused
from tests.unit.jobs.kubernetes.test_states import CRASHING, EXITED, PULLING, RUNNING, pod
from tfps.cluster.spec import Task
from tfps.errors import LaunchError
from tfps.jobs.kubernetes import logs
from tfps.jobs.kubernetes.logs import TaskLogs

WORKER = Task(type="worker", index=1)
DONE = {"terminated": {"exitCode": 0}}


@dataclasses.dataclass
class Recorded:
    """Answers one after the other; the last list of pods goes on."""

    pods: list[list[Any]]
    outputs: list[list[bytes | Exception]] = dataclasses.field(default_factory=list)
    opened: list[tuple[str, bool, int | None]] = dataclasses.field(default_factory=list)
    over_after: int = 10**6
    looks: int = 0

    def list(self, resource: object, selector: str) -> Any:
        self.looks += 1
        return self.pods.pop(0) if len(self.pods) > 1 else self.pods[0]

    @contextlib.contextmanager
    def log(
        self, name: str, container: str, *, follow: bool, since_s: int | None
    ) -> Iterator[Iterator[bytes]]:
        self.opened.append((name, follow, since_s))
        yield self._pieces(self.outputs.pop(0))

    def is_over(self) -> bool:
        return self.looks >= self.over_after

    @staticmethod
    def _pieces(output: Any) -> Iterator[bytes]:
        for piece in output:
            if isinstance(piece, Exception):
                raise piece
            yield piece


def of(server: Recorded, **fields: Any) -> TaskLogs:
    return TaskLogs(server=server, selector="", task=WORKER, is_over=server.is_over, **fields)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_POLL_S", 0.0)


def test_lines_are_whole_however_they_come() -> None:
    server = Recorded([[pod(state=RUNNING)]], [[b"on", b"e\ntw", b"o\n\nthr\xff"]])
    assert list(of(server).now()) == ["one", "two", "", "thr\ufffd"]


@pytest.mark.parametrize(
    ("pods", "why"),
    [
        ([], "it has no pod, or none any more"),
        ([pod("Pending", state=PULLING)], 'pod job-worker-1: ImagePullBackOff: pulling "no"'),
        ([pod("Pending")], "pod job-worker-1: starting"),
    ],
)
def test_a_task_without_output_is_an_error_that_says_why(pods: list[Any], why: str) -> None:
    with pytest.raises(LaunchError) as error:
        list(of(Recorded([pods])).now())
    assert str(error.value) == f"There is no output of worker 1: {why}."
    with pytest.raises(LaunchError, match="There is no output"):
        list(of(Recorded([pods], over_after=3)).follow())
    with pytest.raises(LaunchError, match="There is no output"):
        list(of(Recorded([pods]), start_within_s=0.0).follow())


def test_following_waits_for_the_pod_and_says_why_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    waiting = [pod("Pending", state=PULLING)]
    ended = [pod("Succeeded", state=DONE)]
    server = Recorded([[], waiting, waiting, [pod(state=RUNNING)], ended], [[b"a\n"]])
    assert list(of(server).follow()) == ["a"]
    assert capsys.readouterr().err.splitlines() == [
        "tfps: worker 1 waiting: it has no pod, or none any more",
        'tfps: worker 1 waiting: pod job-worker-1: ImagePullBackOff: pulling "no"',
    ]


def test_following_goes_on_in_the_next_container_and_in_the_next_pod(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = pod(state=RUNNING, restartCount=0)
    crashed = pod(state=CRASHING, lastState=EXITED, restartCount=0)
    again = pod(state=RUNNING, restartCount=1)
    other = pod(name="other", state=RUNNING, created="2026-01-01T00:00:05Z")
    done = pod("Succeeded", name="other", state=DONE, created="2026-01-01T00:00:05Z")
    server = Recorded([[first], [crashed], [again], [], [other], [done]], [[b"1"], [b"2"], [b"3"]])
    assert list(of(server).follow()) == ["1", "2", "3"]
    assert server.opened == [
        ("job-worker-1", True, None),
        ("job-worker-1", True, None),
        ("other", True, None),
    ]
    assert "goes on in other" in capsys.readouterr().err


def test_following_ends_with_the_job_when_the_pod_does_not_come_back() -> None:
    server = Recorded([[pod(state=RUNNING)], [pod("Failed", state=EXITED)]], [[b"1"]])
    server.over_after = 5
    assert list(of(server).follow()) == ["1"]


def test_a_connection_that_breaks_is_opened_again_for_what_is_new(
    capsys: pytest.CaptureFixture[str],
) -> None:
    running = [pod(state=RUNNING)]
    server = Recorded(
        [running, running, [pod("Succeeded", state=DONE)]],
        [[b"1\n", LaunchError("reset")], [b"2\n"]],
    )
    assert list(of(server).follow()) == ["1", "2"]
    [(_, _, since), (_, _, since_again)] = server.opened
    assert since is None
    assert since_again is not None
    assert 1 <= since_again <= 60
    assert "the connection broke (reset); going on with job-worker-1" in capsys.readouterr().err


def test_a_refusal_is_an_error_as_long_as_the_pod_is_there() -> None:
    no_right = refused("no right", AnswerError(403))
    with pytest.raises(LaunchError, match="no right"):
        list(of(Recorded([[pod(state=RUNNING)]], [[no_right]])).follow())


def test_a_connection_that_breaks_as_the_pod_goes_is_not_opened_again() -> None:
    server = Recorded([[pod(state=RUNNING)], []], [[b"1\n", LaunchError("gone")]], over_after=3)
    assert list(of(server).follow()) == ["1"]
