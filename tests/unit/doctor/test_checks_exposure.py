"""Addresses: not for the whole internet, and not for the own host alone."""

from __future__ import annotations

import pytest

from tests.unit.doctor.made import PS, SPEC, TASKS, WORKER, alone, facts, observed, only
from tfps.cluster.spec import ClusterSpec
from tfps.doctor.checks import exposure
from tfps.doctor.faults import Fault, Kind
from tfps.doctor.finding import Level
from tfps.doctor.observed import Answer, Observed

GONE = {WORKER: Fault(kind=Kind.REFUSED, detail="connection refused")}


@pytest.mark.parametrize(
    "ip", ["10.1.2.3", "192.168.0.7", "100.64.0.1", "169.254.1.1", "fe80::1", "fd00::2"]
)
def test_a_private_address_is_well(ip: str) -> None:
    assert only(exposure.public(alone(ips=(ip,)), firewalled=False)).level is Level.OK


@pytest.mark.parametrize("ip", ["8.8.8.8", "2600:1900::1"])
def test_a_public_address_is_red_or_a_warning_behind_a_firewall(ip: str) -> None:
    job = observed(facts(PS, ips=("10.0.0.4", ip)))
    found = only(exposure.public(job, firewalled=False))
    assert found.level is Level.RED
    assert found.says == f"public addresses: {ip} of ps 0"
    assert "port 2222" in found.to_do
    assert only(exposure.public(job, firewalled=True)).level is Level.WARN


def test_a_public_address_in_tf_config_is_red() -> None:
    spec = ClusterSpec(chief=("8.8.8.8:2222",), worker=SPEC.worker, ps=SPEC.ps)
    found = only(exposure.public(observed(spec=spec), firewalled=False))
    assert found.says == "public addresses: 8.8.8.8 of chief 0"


def test_a_name_that_leads_to_a_public_address_is_red() -> None:
    answers = {"ps 0": Answer(facts=facts(PS), ip="8.8.4.4")}
    found = only(exposure.public(observed(answers=answers), firewalled=False))
    assert found.says == "public addresses: 8.8.4.4 of ps 0"


def test_loopback_is_well_where_all_tasks_are_together() -> None:
    local = ClusterSpec(chief=("127.0.0.1:1",), worker=("127.0.0.1:2",), ps=("127.0.0.1:3",))
    assert exposure.loopback(_with(local, together=True)) == []
    assert exposure.loopback(_with(local, together=True, missing=GONE)) == []
    assert exposure.loopback(observed()) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.1.1", "localhost", "[::1]", "0.0.0.0"])
def test_loopback_between_hosts_is_red(host: str) -> None:
    spec = ClusterSpec(chief=(f"{host}:2222",), worker=SPEC.worker, ps=SPEC.ps)
    found = only(exposure.loopback(_with(spec, together=False)))
    assert found.level is Level.RED
    assert f"chief 0 ({host}:2222)" in found.says


def test_loopback_of_some_is_red_when_a_task_is_missing() -> None:
    spec = ClusterSpec(chief=SPEC.chief, worker=("127.0.0.1:2222",), ps=SPEC.ps)
    assert only(exposure.loopback(_with(spec, together=True, missing=GONE))).level is Level.RED
    assert exposure.loopback(_with(spec, together=True)) == []


def _with(spec: ClusterSpec, *, together: bool, **changes: object) -> Observed:
    place = {"network_id": "one"} if together else {}
    return observed(*(facts(task, **place) for task in TASKS), spec=spec, **changes)
