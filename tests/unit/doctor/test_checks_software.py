"""Versions: installed, supported, and the same everywhere. GPUs: usable by workers."""

from __future__ import annotations

import pytest

from tests.unit.doctor.sample_job import (
    CHIEF,
    GIB,
    OTHER_WORKER,
    PS,
    TASKS,
    VERSIONS,
    WORKER,
    alone,
    facts,
    observed,
    only,
)
from tfps.doctor.checks import software
from tfps.doctor.findings import Level
from tfps.doctor.observations import Gpu, Gpus

SUPPORTED = {"Python": ">=3.11", "Keras": ">=3.15,<3.16", "TensorFlow": ">=2.21,<2.22"}


def test_equal_and_supported_versions_are_well() -> None:
    assert only(software.versions(observed(), SUPPORTED)).level is Level.OK


@pytest.mark.parametrize(
    ("package", "version", "level"),
    [
        ("TensorFlow", "2.21.1", Level.RED),
        ("Keras", "3.15.0", Level.RED),
        ("tfps", "0.2.0", Level.RED),
        ("Python", "3.12.1", Level.RED),
        ("numpy", "2.3.0", Level.WARN),
        ("keras-nlp", "0.31.0", Level.WARN),
    ],
)
def test_a_version_that_differs_is_told_with_its_tasks(
    package: str, version: str, level: Level
) -> None:
    other = facts(OTHER_WORKER, versions={**VERSIONS, package: version})
    found = only(software.versions(observed(other), SUPPORTED))
    assert found.level is level
    assert f"{VERSIONS[package]} on chief 0, worker 0, ps 0, ps 1; {version} on worker 1" in (
        found.says
    )
    assert VERSIONS[package] in found.to_do


def test_python_may_differ_in_its_patch() -> None:
    other = facts(PS, versions={**VERSIONS, "Python": "3.11.2"})
    assert only(software.versions(observed(other), SUPPORTED)).level is Level.OK


def test_an_unsupported_version_is_told_once() -> None:
    old = facts(WORKER, versions={**VERSIONS, "Keras": "3.14.0"})
    found = only(software.versions(observed(old), SUPPORTED))
    assert found.level is Level.RED
    assert found.says == "Keras 3.14.0 on worker 0; tfps works with >=3.15,<3.16"
    assert "pip install 'keras>=3.15,<3.16'" in found.to_do


def test_a_package_that_is_missing_is_red() -> None:
    bare = facts(WORKER, versions={"Python": "3.11.7", "tfps": "0.1.0"})
    found = software.versions(observed(bare), SUPPORTED)
    assert {finding.level for finding in found} == {Level.RED}
    assert "TensorFlow is not installed on worker 0" in [finding.says for finding in found]


def test_a_version_of_the_users_own_is_let_pass() -> None:
    own = {**VERSIONS, "TensorFlow": "nightly"}
    job = observed(*(facts(task, versions=own) for task in TASKS))
    assert only(software.versions(job, SUPPORTED)).level is Level.OK


CARD = Gpu(name="H100", driver="550.54", memory_bytes=80 * GIB)


def test_no_gpu_is_well() -> None:
    assert only(software.gpus(observed())).says == "none on worker 0, worker 1"


def test_a_gpu_that_tensorflow_cannot_use_is_red_with_what_is_missing() -> None:
    gpus = Gpus(listed=(CARD,), usable=0, missing=("nvidia-cudnn-cu12",))
    found = only(software.gpus(alone(gpus=gpus)))
    assert found.level is Level.RED
    assert "1 x H100 (80 GiB, driver 550.54)" in found.says
    assert "missing: nvidia-cudnn-cu12" in found.to_do


def test_usable_and_hidden_gpus_are_well() -> None:
    for gpus in (Gpus(listed=(CARD, CARD), usable=2), Gpus(listed=(CARD,), hidden=True)):
        workers = [facts(task, gpus=gpus) for task in (WORKER, OTHER_WORKER)]
        assert only(software.gpus(observed(*workers))).level is Level.OK


def test_workers_with_and_without_a_gpu_are_a_warning() -> None:
    found = only(software.gpus(observed(facts(WORKER, gpus=Gpus(listed=(CARD,), usable=1)))))
    assert found.level is Level.WARN
    assert found.says.endswith("these have none: worker 1")


def test_gpus_of_other_tasks_do_not_count() -> None:
    chief = facts(CHIEF, gpus=Gpus(listed=(CARD,)))
    assert only(software.gpus(observed(chief))).level is Level.OK


def test_a_broken_driver_is_a_warning_with_its_words() -> None:
    found = only(software.gpus(alone(gpus=Gpus(fault="no devices were found"))))
    assert found.level is Level.WARN
    assert "no devices were found" in found.says
