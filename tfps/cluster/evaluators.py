"""How an evaluator and the chief know of each other: by a table on the server of ps 0.

An evaluator is no part of the cluster; Vertex AI does not even tell the chief its address. And the
chief's end tears down the whole job, there and as a TFJob. So an evaluator announces itself in the
table, and shows there that it lives. The chief, when its training is over, writes that into the
table, and waits until each evaluator has evaluated what is left.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Mapping, Sequence

from tfps.cluster import addresses
from tfps.cluster.spec import ClusterSpec, Task
from tfps.cluster.table import Table
from tfps.cluster.tf_config import TFConfig
from tfps.errors import ChiefGoneError

_TABLE = "tfps_evaluators"
_OVER = "over"
_LEFT = -1
_EVERY_S = 1.0
_LEAVE_WITHIN_S = 2.0
# An evaluator that loads a large checkpoint may be silent for some seconds.
SILENT_AFTER_S = 60.0


class Presence:
    """An evaluator's presence in its job, to be used in a `with` statement.

    A thread of its own counts up the evaluator's number in the table, and looks for the chief. A ps
    that was restarted has a new table, in which the evaluator is soon found again.
    """

    def __init__(self, config: TFConfig, *, chief_timeout_s: float) -> None:
        """Take the job and this task from TF_CONFIG, and how long the chief may be gone."""
        self._task = config.task
        (self._chief,) = config.cluster.chief
        self._chief_timeout_s = chief_timeout_s
        self._table = Table(config.cluster, _TABLE)
        self._chief_seen_s = time.monotonic()
        self._over = threading.Event()
        self._leaving = threading.Event()
        # Not a daemon: one inside TensorFlow when the interpreter goes aborts the process.
        self._thread = threading.Thread(target=self._show)

    def __enter__(self) -> Presence:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._thread.join(_LEAVE_WITHIN_S)

    def is_over(self) -> bool:
        """Return whether the chief's training has ended normally.

        Raises:
            ChiefGoneError: Nothing has listened at the chief's address for the timeout, and the
                chief had not ended normally.
        """
        if self._over.is_set():
            return True
        if time.monotonic() - self._chief_seen_s >= self._chief_timeout_s:
            raise ChiefGoneError(
                f"nothing has listened at the chief's address {self._chief} for "
                f"{self._chief_timeout_s:g} s (chief_timeout_s)."
            )
        return False

    def _show(self) -> None:
        name = str(self._task)
        for number in itertools.count(1):
            if _OVER in self._table.exchange(name, number):
                self._over.set()
            if addresses.accepts_connections(self._chief):
                self._chief_seen_s = time.monotonic()
            if self._leaving.wait(_EVERY_S):
                break
        self._table.exchange(name, _LEFT)
        self._table.close()


def wait_for_evaluators(
    spec: ClusterSpec,
    *,
    expected: Sequence[Task] = (),
    timeout_s: float = 600.0,
    report_every_s: float = 5.0,
) -> None:
    """Tell all evaluators that the training is over, and wait until they have left.

    Those that it waits for are named on standard error. It does not wait for one that has been
    silent for a minute, nor longer than `timeout_s` in all.

    Args:
        spec: The chief's cluster.
        expected: Evaluators to wait for even if they have not announced themselves.
        timeout_s: How long to wait at most.
        report_every_s: How often to say for whom.
    """
    table = Table(spec, _TABLE)
    started_s = reported_s = now_s = time.monotonic()
    attendance = Attendance(expected, now_s)
    while True:
        attendance.take(table.exchange(_OVER, 1), now_s)
        if not (waiting := attendance.waiting(now_s)):
            break
        if now_s - started_s >= timeout_s:
            _say(f"the job ends without {waiting}; to wait longer, set evaluator_timeout_s.")
            break
        if now_s - reported_s >= report_every_s:
            reported_s = now_s
            _say(f"the training is over; waiting for {waiting}")
        time.sleep(min(_EVERY_S, timeout_s))
        now_s = time.monotonic()
    if silent := attendance.silent(now_s):
        _say(f"the job ends without {silent}, silent for {SILENT_AFTER_S:g} s.")
    table.close()


class Attendance:
    """Which evaluators the chief waits for, by what the table has said. Pure."""

    def __init__(self, expected: Sequence[Task], now_s: float) -> None:
        """Begin with evaluators that are expected, announced or not."""
        self._numbers = {str(task): 0 for task in expected}
        self._heard_s = dict.fromkeys(self._numbers, now_s)

    def take(self, table: Mapping[str, int], now_s: float) -> None:
        """Take note of who has counted on since."""
        for name, number in table.items():
            if name != _OVER and number != self._numbers.get(name):
                self._numbers[name], self._heard_s[name] = number, now_s

    def waiting(self, now_s: float) -> str:
        """Name those that are there and live, or nothing."""
        return ", ".join(name for name in self._staying() if not self._is_silent(name, now_s))

    def silent(self, now_s: float) -> str:
        """Name those that have not been heard of for too long, or nothing."""
        return ", ".join(name for name in self._staying() if self._is_silent(name, now_s))

    def _staying(self) -> list[str]:
        return sorted(name for name, number in self._numbers.items() if number != _LEFT)

    def _is_silent(self, name: str, now_s: float) -> bool:
        return now_s - self._heard_s[name] >= SILENT_AFTER_S


def _say(sentence: str) -> None:
    print(f"tfps: {sentence}", file=sys.stderr, flush=True)
