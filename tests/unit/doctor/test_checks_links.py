"""Links: slow by themselves, slow beside the others, broken."""

from __future__ import annotations

import dataclasses

from tests.unit.doctor.made import (
    CHIEF,
    OTHER_PS,
    OTHER_WORKER,
    PS,
    WORKER,
    facts,
    levels,
    link,
    links,
    observed,
    only,
)
from tfps.doctor.checks import links as checks
from tfps.doctor.faults import Fault, Kind
from tfps.doctor.finding import Level
from tfps.doctor.observed import Link

MBIT = 1e6 / 8
SLOW = [
    link(*way, bytes_per_s=95 * MBIT)
    for ps in (PS, OTHER_PS)
    for way in ((OTHER_WORKER, ps), (ps, OTHER_WORKER))
]


def test_links_that_are_alike_are_well() -> None:
    job = observed(links=links())
    assert only(checks.latency(job)).level is Level.OK
    assert only(checks.bandwidth(job)).level is Level.OK
    assert checks.left_out(job) == []


def test_a_worker_behind_a_slow_link_is_named_once() -> None:
    found = only(checks.bandwidth(observed(links=links(*SLOW))))
    assert found.level is Level.WARN
    assert found.says == "below 100 Mbit/s: 4 links, all of worker 1: 95 Mbit/s to 95 Mbit/s"
    assert "3.4 s" in found.to_do


def test_a_link_far_slower_than_its_like_is_told_though_it_is_fast() -> None:
    slower = [dataclasses.replace(one) for one in links() if OTHER_WORKER in _ends(one)]
    slower = [link(one.sender, one.receiver, bytes_per_s=5e7) for one in slower]
    found = only(checks.bandwidth(observed(links=links(*slower))))
    assert found.level is Level.WARN
    assert found.says.startswith("below a tenth of the usual: 4 links, all of worker 1")


def test_links_within_a_host_are_no_measure_for_those_between_hosts() -> None:
    together = {task: facts(task, host_id="one") for task in (WORKER, PS)}
    inside = [link(WORKER, PS, bytes_per_s=5e10), link(PS, WORKER, bytes_per_s=5e10)]
    job = observed(*together.values(), links=links(*inside))
    assert only(checks.bandwidth(job)).level is Level.OK


def test_two_links_are_too_few_to_compare() -> None:
    pair = (link(WORKER, PS, bytes_per_s=1e9), link(PS, WORKER, bytes_per_s=2e7))
    assert only(checks.bandwidth(observed(links=pair))).level is Level.OK


def test_large_messages_that_vanish_are_red() -> None:
    found = only(checks.bandwidth(observed(links=links(link(PS, WORKER, bytes_per_s=0)))))
    assert found.level is Level.RED
    assert found.says == "only small messages get through: ps 0 to worker 0"
    assert "MTU" in found.to_do


def test_a_measurement_that_broke_off_is_red() -> None:
    fault = Fault(kind=Kind.REFUSED, detail="connection refused")
    broken = Link(sender=PS, receiver=CHIEF, fault=fault)
    found = checks.bandwidth(observed(links=(*links(), broken)))
    assert only(found).level is Level.RED
    assert only(found).says == "broke off: ps 0 to chief 0: connection refused"


def test_a_long_round_trip_is_told_with_the_steps_that_it_allows() -> None:
    far = link(WORKER, PS, round_trip_s=0.025)
    found = only(checks.latency(observed(links=links(far))))
    assert found.level is Level.WARN
    assert found.says == "round trips above 10 ms: worker 0 to ps 0 25 ms"
    assert "at most 40 steps a second" in found.to_do


def test_a_round_trip_of_ten_times_the_usual_counts_from_a_millisecond() -> None:
    for round_trip_s, level in ((0.002, Level.WARN), (0.0009, Level.OK)):
        odd = link(WORKER, PS, round_trip_s=round_trip_s)
        rest = [
            dataclasses.replace(one, pull=dataclasses.replace(one.pull, round_trip_s=5e-5))
            for one in links()
            if one.pull is not None and (one.sender, one.receiver) != (WORKER, PS)
        ]
        assert levels(checks.latency(observed(links=(*rest, odd)))) == [level]


def test_links_left_out_are_named() -> None:
    found = only(checks.left_out(observed(links=links(), left_out=((WORKER, PS),))))
    assert found.level is Level.OK
    assert "worker 0 - ps 0" in found.says


def _ends(one: Link) -> set[object]:
    return {one.sender, one.receiver}
