"""What pings say, and which task is sure to be there or not."""

from __future__ import annotations

import pytest

from tests.unit.doctor.made import PS, facts
from tfps.doctor import arrivals, measure
from tfps.doctor.arrivals import Outcome
from tfps.doctor.faults import Fault, Kind
from tfps.doctor.measure import Ping
from tfps.doctor.observed import Answer
from tfps.doctor.reports import Report

PINGS = [
    Ping(round_trip_s=0.030, offset_s=2.010),
    Ping(round_trip_s=0.002, offset_s=2.001),
    Ping(round_trip_s=0.004, offset_s=2.002),
]
REFUSED = Fault(kind=Kind.REFUSED, detail="connection refused")
TAKEN = Fault(kind=Kind.PORT, detail="taken")
ONE_WAY = Fault(
    kind=Kind.ONE_WAY, detail="it calls the chief; called by the chief: connection refused"
)
MISPLACED = Fault(kind=Kind.MISPLACED, detail="ps 1 answers there")
ANSWER = Answer(facts=facts(PS))


def test_the_fastest_ping_tells_the_clock_and_the_middle_one_the_round_trip() -> None:
    clock = measure.clock(PINGS)
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
    latest: Outcome | None, called_s_ago: float | None, port_fault: str, sure: Outcome | None
) -> None:
    now_s = 1000.0
    report = None
    if called_s_ago is not None:
        report = Report(facts=facts(PS, port_fault=port_fault), at_s=now_s - called_s_ago)
    assert arrivals.settled(latest, report, now_s) == sure
