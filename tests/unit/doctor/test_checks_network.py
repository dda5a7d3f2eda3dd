"""The network: links that are slow or broken; addresses that are public or loopback."""

from __future__ import annotations

import dataclasses

import pytest

from tests.unit.doctor.sample_job import (
    CHIEF,
    OTHER_PS,
    OTHER_WORKER,
    PS,
    SPEC,
    TASKS,
    WORKER,
    alone,
    facts,
    levels,
    link,
    links,
    observed,
    only,
)
from tfps.cluster.spec import ClusterSpec
from tfps.doctor.checks import network
from tfps.doctor.findings import Level
from tfps.doctor.observations import CallFailure, FailureKind, JobObservations, Link, TaskAnswer

MBIT = 1e6 / 8
SLOW = [
    link(*way, bytes_per_s=95 * MBIT)
    for ps in (PS, OTHER_PS)
    for way in ((OTHER_WORKER, ps), (ps, OTHER_WORKER))
]


def test_links_that_are_alike_are_well() -> None:
    job = observed(links=links())
    assert only(network.latency(job)).level is Level.OK
    assert only(network.bandwidth(job)).level is Level.OK
    assert network.left_out(job) == []


def test_a_worker_behind_a_slow_link_is_named_once() -> None:
    found = only(network.bandwidth(observed(links=links(*SLOW))))
    assert found.level is Level.WARN
    assert found.says == "below 100 Mbit/s: 4 links, all of worker 1: 95 Mbit/s to 95 Mbit/s"
    assert "3.4 s" in found.to_do


def test_a_link_far_slower_than_its_like_is_told_though_it_is_fast() -> None:
    slower = [dataclasses.replace(one) for one in links() if OTHER_WORKER in _ends(one)]
    slower = [link(one.sender, one.receiver, bytes_per_s=5e7) for one in slower]
    found = only(network.bandwidth(observed(links=links(*slower))))
    assert found.level is Level.WARN
    assert found.says.startswith("below a tenth of the usual: 4 links, all of worker 1")


def test_links_within_a_host_are_no_measure_for_those_between_hosts() -> None:
    together = {task: facts(task, host_id="one") for task in (WORKER, PS)}
    inside = [link(WORKER, PS, bytes_per_s=5e10), link(PS, WORKER, bytes_per_s=5e10)]
    job = observed(*together.values(), links=links(*inside))
    assert only(network.bandwidth(job)).level is Level.OK


def test_two_links_are_too_few_to_compare() -> None:
    pair = (link(WORKER, PS, bytes_per_s=1e9), link(PS, WORKER, bytes_per_s=2e7))
    assert only(network.bandwidth(observed(links=pair))).level is Level.OK


def test_large_messages_that_vanish_are_red() -> None:
    found = only(network.bandwidth(observed(links=links(link(PS, WORKER, bytes_per_s=0)))))
    assert found.level is Level.RED
    assert found.says == "only small messages get through: ps 0 to worker 0"
    assert "MTU" in found.to_do


def test_a_measurement_that_broke_off_is_red() -> None:
    fault = CallFailure(kind=FailureKind.REFUSED, detail="connection refused")
    broken = Link(sender=PS, receiver=CHIEF, failure=fault)
    found = network.bandwidth(observed(links=(*links(), broken)))
    assert only(found).level is Level.RED
    assert only(found).says == "broke off: ps 0 to chief 0: connection refused"


def test_a_long_round_trip_is_told_with_the_steps_that_it_allows() -> None:
    far = link(WORKER, PS, round_trip_s=0.025)
    found = only(network.latency(observed(links=links(far))))
    assert found.level is Level.WARN
    assert found.says == "round trips above 10 ms: worker 0 to ps 0 25 ms"
    assert "at most 40 steps a second" in found.to_do


def test_a_round_trip_of_ten_times_the_usual_counts_from_a_millisecond() -> None:
    for round_trip_s, level in ((0.002, Level.WARN), (0.0009, Level.OK)):
        odd = link(WORKER, PS, round_trip_s=round_trip_s)
        rest = [
            dataclasses.replace(one, speed=dataclasses.replace(one.speed, round_trip_s=5e-5))
            for one in links()
            if one.speed is not None and (one.sender, one.receiver) != (WORKER, PS)
        ]
        assert levels(network.latency(observed(links=(*rest, odd)))) == [level]


def test_links_left_out_are_named() -> None:
    found = only(network.left_out(observed(links=links(), left_out=((WORKER, PS),))))
    assert found.level is Level.OK
    assert "worker 0 - ps 0" in found.says


def _ends(one: Link) -> set[object]:
    return {one.sender, one.receiver}


GONE = {WORKER: CallFailure(kind=FailureKind.REFUSED, detail="connection refused")}


@pytest.mark.parametrize(
    "ip", ["10.1.2.3", "192.168.0.7", "100.64.0.1", "169.254.1.1", "fe80::1", "fd00::2"]
)
def test_a_private_address_is_well(ip: str) -> None:
    assert only(network.public_addresses(alone(ips=(ip,)), firewalled=False)).level is Level.OK


@pytest.mark.parametrize("ip", ["8.8.8.8", "2600:1900::1"])
def test_a_public_address_is_red_or_a_warning_behind_a_firewall(ip: str) -> None:
    job = observed(facts(PS, ips=("10.0.0.4", ip)))
    found = only(network.public_addresses(job, firewalled=False))
    assert found.level is Level.RED
    assert found.says == f"public addresses: {ip} of ps 0"
    assert "port 2222" in found.to_do
    assert only(network.public_addresses(job, firewalled=True)).level is Level.WARN


def test_a_public_address_in_tf_config_is_red() -> None:
    spec = ClusterSpec(chief=("8.8.8.8:2222",), worker=SPEC.worker, ps=SPEC.ps)
    found = only(network.public_addresses(observed(spec=spec), firewalled=False))
    assert found.says == "public addresses: 8.8.8.8 of chief 0"


def test_a_name_that_leads_to_a_public_address_is_red() -> None:
    answers = {"ps 0": TaskAnswer(facts=facts(PS), ip="8.8.4.4")}
    found = only(network.public_addresses(observed(answers=answers), firewalled=False))
    assert found.says == "public addresses: 8.8.4.4 of ps 0"


def test_loopback_is_well_where_all_tasks_are_together() -> None:
    local = ClusterSpec(chief=("127.0.0.1:1",), worker=("127.0.0.1:2",), ps=("127.0.0.1:3",))
    assert network.loopback(_with(local, together=True)) == []
    assert network.loopback(_with(local, together=True, missing=GONE)) == []
    assert network.loopback(observed()) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.1.1", "localhost", "[::1]", "0.0.0.0"])
def test_loopback_between_hosts_is_red(host: str) -> None:
    spec = ClusterSpec(chief=(f"{host}:2222",), worker=SPEC.worker, ps=SPEC.ps)
    found = only(network.loopback(_with(spec, together=False)))
    assert found.level is Level.RED
    assert f"chief 0 ({host}:2222)" in found.says


def test_loopback_of_some_is_red_when_a_task_is_missing() -> None:
    spec = ClusterSpec(chief=SPEC.chief, worker=("127.0.0.1:2222",), ps=SPEC.ps)
    assert only(network.loopback(_with(spec, together=True, missing=GONE))).level is Level.RED
    assert network.loopback(_with(spec, together=True)) == []


def _with(spec: ClusterSpec, *, together: bool, **changes: object) -> JobObservations:
    place = {"network_id": "one"} if together else {}
    return observed(*(facts(task, **place) for task in TASKS), spec=spec, **changes)
