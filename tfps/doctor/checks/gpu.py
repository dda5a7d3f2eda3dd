"""Check that workers can use the GPUs that they have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tfps.doctor.facts import Facts
from tfps.doctor.finding import Finding, Level, or_well
from tfps.doctor.observed import Observed
from tfps.doctor.wording import gib, joined, names

CHECK = "GPU"


def check(observed: Observed) -> Sequence[Finding]:
    """Check the GPUs of the workers, or of this machine; other tasks compute on none."""
    workers = [one for one in observed.facts if one.task is None or one.task.type == "worker"]
    found = [*_failing(workers), *_unusable(workers), *_unequal(workers)]
    listed: dict[str, list[str]] = {}
    for one in workers:
        listed.setdefault(_listed(one), []).append(one.label)
    says = joined([f"{gpus} on {names(labels)}" for gpus, labels in listed.items()])
    return or_well(found, CHECK, says or "no worker answers")


def _failing(workers: Sequence[Facts]) -> Iterator[Finding]:
    failing = [f"{one.label} ({one.gpus.fault})" for one in workers if one.gpus.fault]
    if failing:
        yield Finding(
            check=CHECK,
            level=Level.WARN,
            says=f"nvidia-smi is there and fails: {joined(failing)}",
            to_do="Repair the driver if this machine has a GPU; without it the worker computes on "
            "the CPU.",
        )


def _unusable(workers: Sequence[Facts]) -> Iterator[Finding]:
    for one in workers:
        if one.gpus.usable == 0:
            missing = names(one.gpus.missing)
            yield Finding(
                check=CHECK,
                level=Level.RED,
                says=f"{one.label} has {_models(one)}, and TensorFlow can use none",
                to_do="Install CUDA's libraries there: pip install 'tensorflow[and-cuda]' "
                + (
                    f"(missing: {missing})."
                    if missing
                    else "(all are there: is the driver too old for them?)"
                )
                + " Or hide the GPU with CUDA_VISIBLE_DEVICES=-1.",
            )


def _unequal(workers: Sequence[Facts]) -> Iterator[Finding]:
    without = [one.label for one in workers if not _uses_gpu(one)]
    if without and len(without) < len(workers):
        yield Finding(
            check=CHECK,
            level=Level.WARN,
            says=f"some workers have a GPU to use, and these have none: {names(without)}",
            to_do="Take equal workers, or an update policy under which slow ones hold up nobody "
            "(Asynchronous, or Synchronous with backup_workers).",
        )


def _uses_gpu(facts: Facts) -> bool:
    return bool(facts.gpus.listed) and not facts.gpus.hidden and facts.gpus.usable != 0


def _listed(facts: Facts) -> str:
    if not facts.gpus.listed:
        return "none"
    return f"{_models(facts)}{', hidden by CUDA_VISIBLE_DEVICES' if facts.gpus.hidden else ''}"


def _models(facts: Facts) -> str:
    first = facts.gpus.listed[0]
    return (
        f"{len(facts.gpus.listed)} x {first.name} ({gib(first.memory_bytes)}, "
        f"driver {first.driver})"
    )
