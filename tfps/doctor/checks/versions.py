"""Check the versions: the same on all tasks, and such that tfps works with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from tfps.doctor.finding import Finding, Level, or_well
from tfps.doctor.observed import Observed
from tfps.doctor.versions import PACKAGES, PYTHON
from tfps.doctor.wording import joined, names

CHECK = "versions"

# Graphs and functions cross the wire between these, in forms that change with them.
_MUST_BE_EQUAL = (PYTHON, "tfps", "TensorFlow", "Keras")


def check(observed: Observed, supported: Mapping[str, str]) -> Sequence[Finding]:
    """Check that the packages are there, supported, and of one version everywhere.

    Args:
        observed: What the tasks say.
        supported: The versions that tfps works with, by package.
    """
    findings: list[Finding] = []
    for package in (PYTHON, *PACKAGES):
        holders = observed.holders(package)
        without = holders.pop("", [])
        wanted = supported.get(package, "")
        unfit = {version: tasks for version, tasks in holders.items() if not _fits(version, wanted)}
        fit = {version: tasks for version, tasks in holders.items() if version not in unfit}
        findings += [*_missing(package, without), *_unsupported(package, unfit, wanted)]
        findings += _different(package, fit)
    return or_well(findings, CHECK, "the same on all tasks, and such that tfps works with them")


def _missing(package: str, tasks: Sequence[str]) -> Iterator[Finding]:
    if tasks:
        yield Finding(
            check=CHECK,
            level=Level.RED,
            says=f"{package} is not installed on {names(tasks)}",
            to_do="Install tfps there with all that it needs: pip install tfps.",
        )


def _unsupported(
    package: str, holders: Mapping[str, Sequence[str]], wanted: str
) -> Iterator[Finding]:
    for version, tasks in holders.items():
        yield Finding(
            check=CHECK,
            level=Level.RED,
            says=f"{package} {version} on {names(tasks)}; tfps works with {wanted}",
            to_do=_install(package, wanted),
        )


def _different(package: str, holders: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    if len({_compared(package, version) for version in holders}) < 2:
        return
    most = max(holders, key=lambda version: len(holders[version]))
    given = [f"{version} on {names(tasks)}" for version, tasks in holders.items()]
    yield Finding(
        check=CHECK,
        level=Level.RED if package in _MUST_BE_EQUAL else Level.WARN,
        says=f"{package} differs: {joined(given)}",
        to_do=_install(package, f"=={most}"),
    )


def _compared(package: str, version: str) -> str:
    """Return what must be equal: of Python the minor version."""
    return ".".join(version.split(".")[:2]) if package == PYTHON else version


def _fits(version: str, wanted: str) -> bool:
    try:
        return SpecifierSet(wanted).contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True  # A build of the user's own.


def _install(package: str, wanted: str) -> str:
    if package == PYTHON:
        return f"Run all tasks with one Python {wanted.removeprefix('==')}, best from one image."
    return f"Run all tasks from one image, or there: pip install '{PACKAGES[package][0]}{wanted}'."
