"""Check each task's software: package versions, and GPUs that TensorFlow cannot use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from tfps.doctor.findings import Finding, Level, gib, joined, names, problems_or_ok
from tfps.doctor.observations import PACKAGES, PYTHON, JobObservations, TaskFacts

_VERSIONS = "versions"
_GPU = "GPU"
# Tasks exchange graphs and functions, whose formats change with these.
_MUST_BE_EQUAL = (PYTHON, "tfps", "TensorFlow", "Keras")


def versions(job: JobObservations, supported: Mapping[str, str]) -> Sequence[Finding]:
    """Check that all packages are installed, supported, and of the same version everywhere.

    Args:
        job: What is known of the job.
        supported: The versions that tfps supports, by package.
    """
    findings: list[Finding] = []
    for package in (PYTHON, *PACKAGES):
        labels = job.labels_by_version(package)
        without = labels.pop("", [])
        specifier = supported.get(package, "")
        unsupported = {
            version: tasks for version, tasks in labels.items() if not _fits(version, specifier)
        }
        supported_labels = {
            version: tasks for version, tasks in labels.items() if version not in unsupported
        }
        findings += [*_missing(package, without), *_unsupported(package, unsupported, specifier)]
        findings += _different(package, supported_labels)
    return problems_or_ok(findings, _VERSIONS, "the same on all tasks, and supported by tfps")


def _missing(package: str, tasks: Sequence[str]) -> Iterator[Finding]:
    if tasks:
        yield Finding(
            check=_VERSIONS,
            level=Level.RED,
            says=f"{package} is not installed on {names(tasks)}",
            to_do="Install tfps there with all that it needs: pip install tfps.",
        )


def _unsupported(
    package: str, labels: Mapping[str, Sequence[str]], specifier: str
) -> Iterator[Finding]:
    for version, tasks in labels.items():
        yield Finding(
            check=_VERSIONS,
            level=Level.RED,
            says=f"{package} {version} on {names(tasks)}; tfps works with {specifier}",
            to_do=_install(package, specifier),
        )


def _different(package: str, labels: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    if len({_compared_part(package, version) for version in labels}) < 2:
        return
    most = max(labels, key=lambda version: len(labels[version]))
    parts = [f"{version} on {names(tasks)}" for version, tasks in labels.items()]
    yield Finding(
        check=_VERSIONS,
        level=Level.RED if package in _MUST_BE_EQUAL else Level.WARN,
        says=f"{package} differs: {joined(parts)}",
        to_do=_install(package, f"=={most}"),
    )


def _compared_part(package: str, version: str) -> str:
    """Return the part of a version that must be equal: for Python, major and minor version."""
    return ".".join(version.split(".")[:2]) if package == PYTHON else version


def _fits(version: str, specifier: str) -> bool:
    try:
        return SpecifierSet(specifier).contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True  # The user's own build.


def _install(package: str, specifier: str) -> str:
    if package == PYTHON:
        return f"Run all tasks with one Python {specifier.removeprefix('==')}, best from one image."
    return (
        f"Run all tasks from one image, or there: pip install '{PACKAGES[package][0]}{specifier}'."
    )


def gpus(job: JobObservations) -> Sequence[Finding]:
    """Check the GPUs of the workers, or of this machine; other tasks use none."""
    workers = [facts for facts in job.facts if facts.task is None or facts.task.type == "worker"]
    found = [
        *_with_failing_driver(workers),
        *_with_unusable_gpus(workers),
        *_unequally_equipped(workers),
    ]
    listed: dict[str, list[str]] = {}
    for facts in workers:
        listed.setdefault(_description(facts), []).append(facts.label)
    says = joined([f"{gpus} on {names(labels)}" for gpus, labels in listed.items()])
    return problems_or_ok(found, _GPU, says or "no worker answers")


def _with_failing_driver(workers: Sequence[TaskFacts]) -> Iterator[Finding]:
    failing = [f"{facts.label} ({facts.gpus.fault})" for facts in workers if facts.gpus.fault]
    if failing:
        yield Finding(
            check=_GPU,
            level=Level.WARN,
            says=f"nvidia-smi is installed and fails: {joined(failing)}",
            to_do="Repair the driver if this machine has a GPU; without it the worker computes on "
            "the CPU.",
        )


def _with_unusable_gpus(workers: Sequence[TaskFacts]) -> Iterator[Finding]:
    for facts in workers:
        if facts.gpus.usable == 0:
            missing = names(facts.gpus.missing)
            yield Finding(
                check=_GPU,
                level=Level.RED,
                says=f"{facts.label} has {_models(facts)}, and TensorFlow can use none",
                to_do="Install CUDA's libraries there: pip install 'tensorflow[and-cuda]' "
                + (
                    f"(missing: {missing})."
                    if missing
                    else "(all are installed: is the driver too old for them?)"
                )
                + " Or hide the GPU with CUDA_VISIBLE_DEVICES=-1.",
            )


def _unequally_equipped(workers: Sequence[TaskFacts]) -> Iterator[Finding]:
    without = [facts.label for facts in workers if not _uses_gpu(facts)]
    if without and len(without) < len(workers):
        yield Finding(
            check=_GPU,
            level=Level.WARN,
            says=f"some workers have a GPU to use, and these have none: {names(without)}",
            to_do="Take equal workers, or an update policy under which slow ones hold up nobody "
            "(Asynchronous, or Synchronous with backup_workers).",
        )


def _uses_gpu(facts: TaskFacts) -> bool:
    return bool(facts.gpus.listed) and not facts.gpus.hidden and facts.gpus.usable != 0


def _description(facts: TaskFacts) -> str:
    if not facts.gpus.listed:
        return "none"
    return f"{_models(facts)}{', hidden by CUDA_VISIBLE_DEVICES' if facts.gpus.hidden else ''}"


def _models(facts: TaskFacts) -> str:
    first = facts.gpus.listed[0]
    return (
        f"{len(facts.gpus.listed)} x {first.name} ({gib(first.memory_bytes)}, "
        f"driver {first.driver})"
    )
