"""Machines: disk, memory, cores, open files."""

from __future__ import annotations

import pytest

from tests.unit.doctor.sample_job import (
    GIB,
    OTHER_WORKER,
    PS,
    TASKS,
    WORKER,
    alone,
    facts,
    levels,
    limits,
    observed,
    only,
)
from tfps.doctor.checks import machine
from tfps.doctor.findings import Level
from tfps.doctor.observations import Disk


def test_machines_that_are_well_are_well() -> None:
    for check in (machine.disk, machine.memory, machine.cores, machine.open_files):
        assert only(check(observed())).level is Level.OK
        assert only(check(alone())).level is Level.OK


@pytest.mark.parametrize(("free_gib", "level"), [(0.5, Level.RED), (5, Level.WARN), (10, Level.OK)])
def test_a_full_disk_is_told_with_its_folder(free_gib: float, level: Level) -> None:
    disk = Disk(path="/logs", free_bytes=int(free_gib * GIB))
    found = only(machine.disk(observed(facts(PS, disks=(disk,)))))
    assert found.level is level
    assert ("/logs of ps 0" in found.says) is (level is not Level.OK)


def test_a_folder_in_which_nothing_can_be_written_is_red() -> None:
    disks = (Disk(path="/logs", fault="Read-only file system"),)
    found = only(machine.disk(alone(disks=disks)))
    assert found.level is Level.RED
    assert found.says == "nothing can be written: /logs of this machine (Read-only file system)"


def test_tasks_of_one_network_share_its_memory() -> None:
    there = {"network_id": "one", "limits": limits(available_bytes=4 * GIB)}
    assert only(machine.memory(observed(facts(WORKER, **there)))).level is Level.OK
    shared = machine.memory(observed(*(facts(task, **there) for task in TASKS)))
    assert only(shared).level is Level.RED
    assert "chief 0 (0.8 GiB)" in only(shared).says


def test_scarce_memory_is_told_by_level() -> None:
    red, warn = (limits(available_bytes=size) for size in (GIB // 2, 3 * GIB // 2))
    job = observed(facts(WORKER, limits=red), facts(OTHER_WORKER, limits=warn))
    found = machine.memory(job)
    assert levels(found) == [Level.RED, Level.WARN]
    assert found[0].says == "less than 1.0 GiB free: worker 0 (0.5 GiB)"


def test_a_quota_below_the_cores_is_a_warning_unless_threads_are_set() -> None:
    limited = limits(quota_cores=1.5)
    found = only(machine.cores(observed(facts(WORKER, limits=limited))))
    assert found.level is Level.WARN
    assert "worker 0 1.5 of 8" in found.says
    assert "TF_NUM_INTRAOP_THREADS=2" in found.to_do
    told = limits(quota_cores=1.5, intra_op_threads="2")
    assert only(machine.cores(observed(facts(WORKER, limits=told)))).level is Level.OK
    wide = limits(quota_cores=8.0)
    assert only(machine.cores(observed(facts(WORKER, limits=wide)))).level is Level.OK


def test_few_open_files_are_a_warning() -> None:
    found = only(machine.open_files(observed(facts(PS, limits=limits(open_files=256)))))
    assert found.level is Level.WARN
    assert found.says == "fewer than 336 allowed: ps 0 (256)"
