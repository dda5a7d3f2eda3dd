"""Versions: there, supported, and the same everywhere."""

from __future__ import annotations

import pytest

from tests.unit.doctor.made import OTHER_WORKER, PS, TASKS, VERSIONS, WORKER, facts, observed, only
from tfps.doctor.checks import versions
from tfps.doctor.finding import Level

SUPPORTED = {"Python": ">=3.11", "Keras": ">=3.15,<3.16", "TensorFlow": ">=2.21,<2.22"}


def test_equal_and_supported_versions_are_well() -> None:
    assert only(versions.check(observed(), SUPPORTED)).level is Level.OK


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
    found = only(versions.check(observed(other), SUPPORTED))
    assert found.level is level
    assert f"{VERSIONS[package]} on chief 0, worker 0, ps 0, ps 1; {version} on worker 1" in (
        found.says
    )
    assert VERSIONS[package] in found.to_do


def test_python_may_differ_in_its_patch() -> None:
    other = facts(PS, versions={**VERSIONS, "Python": "3.11.2"})
    assert only(versions.check(observed(other), SUPPORTED)).level is Level.OK


def test_an_unsupported_version_is_told_once() -> None:
    old = facts(WORKER, versions={**VERSIONS, "Keras": "3.14.0"})
    found = only(versions.check(observed(old), SUPPORTED))
    assert found.level is Level.RED
    assert found.says == "Keras 3.14.0 on worker 0; tfps works with >=3.15,<3.16"
    assert "pip install 'keras>=3.15,<3.16'" in found.to_do


def test_a_package_that_is_missing_is_red() -> None:
    bare = facts(WORKER, versions={"Python": "3.11.7", "tfps": "0.1.0"})
    found = versions.check(observed(bare), SUPPORTED)
    assert {finding.level for finding in found} == {Level.RED}
    assert "TensorFlow is not installed on worker 0" in [finding.says for finding in found]


def test_a_version_of_the_users_own_is_let_pass() -> None:
    own = {**VERSIONS, "TensorFlow": "nightly"}
    job = observed(*(facts(task, versions=own) for task in TASKS))
    assert only(versions.check(job, SUPPORTED)).level is Level.OK
