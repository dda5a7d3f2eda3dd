"""What pings say, and which task is sure to be there or not."""

from __future__ import annotations

import pytest

from tests.unit.doctor.sample_job import PS, facts
from tfps.doctor import arrivals, measure
from tfps.doctor.arrivals import Registration, VisitResult
from tfps.doctor.measure import Ping
from tfps.doctor.observations import CallFailure, FailureKind, TaskAnswer

PINGS = [
    Ping(round_trip_s=0.030, offset_s=2.010),
    Ping(round_trip_s=0.002, offset_s=2.001),
    Ping(round_trip_s=0.004, offset_s=2.002),
]
REFUSED = CallFailure(kind=FailureKind.REFUSED, detail="connection refused")
TAKEN = CallFailure(kind=FailureKind.PORT, detail="taken")
ONE_WAY = CallFailure(
    kind=FailureKind.ONE_WAY, detail="it calls the chief; called by the chief: connection refused"
)
MISPLACED = CallFailure(kind=FailureKind.MISPLACED, detail="ps 1 answers there")
ANSWER = TaskAnswer(facts=facts(PS))


def test_the_fastest_ping_tells_the_clock_and_the_middle_one_the_round_trip() -> None:
    clock = measure.clock_offset(PINGS)
    assert (clock.offset_s, clock.error_s) == (2.001, 0.001)
    assert measure.round_trip_s(PINGS) == 0.004


@pytest.mark.parametrize(
    ("latest", "called_s_ago", "port_fault", "sure"),
    [
        (None, None, "", None),
        (REFUSED, None, "", None),
        (ANSWER, None, "", ANSWER),
        (ANSWER, 60, "", ANSWER),
        (MISPLACED, None, "", MISPLACED),
        (REFUSED, 4, "", None),
        (REFUSED, 6, "", ONE_WAY),
        (None, 0, "taken", TAKEN),
        (REFUSED, 0, "taken", TAKEN),
    ],
)
def test_what_is_sure_of_a_task(
    latest: VisitResult | None,
    called_s_ago: float | None,
    port_fault: str,
    sure: VisitResult | None,
) -> None:
    now_s = 1000.0
    registration = None
    if called_s_ago is not None:
        registration = Registration(
            facts=facts(PS, port_fault=port_fault), at_s=now_s - called_s_ago
        )
    assert arrivals.settled(latest, registration, now_s) == sure
