"""For whom the chief waits at the end; evaluators that run are in tests/cluster."""

from __future__ import annotations

from tfps.cluster.evaluators import SILENT_AFTER_S, Attendance
from tfps.cluster.spec import Task

EVALUATOR = Task(type="evaluator", index=0)


def test_nobody_is_waited_for_where_nobody_is_expected_or_heard_of() -> None:
    attendance = Attendance([], 0.0)
    attendance.update({"over": 1}, 0.0)
    assert attendance.waiting(0.0) == attendance.silent(1000.0) == ""


def test_one_that_has_announced_itself_is_waited_for_until_it_has_left() -> None:
    attendance = Attendance([], 0.0)
    for now_s in range(0, 600, 10):
        attendance.update({"evaluator 0": now_s, "evaluator 1": 2 * now_s, "over": 1}, now_s)
        assert attendance.waiting(now_s) == "evaluator 0, evaluator 1"
    attendance.update({"evaluator 0": -1, "evaluator 1": 1200}, 600.0)
    assert attendance.waiting(600.0) == "evaluator 1"
    assert attendance.silent(600.0) == ""


def test_one_that_is_expected_is_waited_for_until_it_has_been_silent_for_too_long() -> None:
    attendance = Attendance([EVALUATOR], 100.0)
    attendance.update({}, 100.0 + SILENT_AFTER_S - 1)
    assert attendance.waiting(100.0 + SILENT_AFTER_S - 1) == "evaluator 0"
    assert attendance.waiting(100.0 + SILENT_AFTER_S) == ""
    assert attendance.silent(100.0 + SILENT_AFTER_S) == "evaluator 0"


def test_one_that_counts_no_further_is_silent_and_may_come_back() -> None:
    attendance = Attendance([], 0.0)
    attendance.update({"evaluator 0": 5}, 0.0)
    attendance.update({"evaluator 0": 5}, SILENT_AFTER_S)
    assert attendance.silent(SILENT_AFTER_S) == "evaluator 0"
    attendance.update({"evaluator 0": 1}, SILENT_AFTER_S)  # It was restarted.
    assert attendance.waiting(SILENT_AFTER_S) == "evaluator 0"
