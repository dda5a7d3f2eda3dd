"""Check how much of its machine each task may use: disk, memory, cores and open files."""

from __future__ import annotations

import collections
import math
from collections.abc import Iterator, Mapping, Sequence

from tfps.doctor.findings import GIB, Finding, Level, gib, joined, names, problems_or_ok
from tfps.doctor.observations import JobObservations, ResourceLimits

DISK_RED_BYTES, DISK_WARN_BYTES = 1 * GIB, 10 * GIB
MEMORY_RED_BYTES, MEMORY_WARN_BYTES = 1 * GIB, 2 * GIB
OPEN_FILES, OPEN_FILES_PER_TASK = 256, 16


def disk(job: JobObservations) -> Sequence[Finding]:
    """Check that there is room for checkpoints and temporary files."""
    disks = {f"{disk.path} of {facts.label}": disk for facts in job.facts for disk in facts.disks}
    faults = [f"{where} ({disk.fault})" for where, disk in disks.items() if disk.fault]
    free_bytes = {where: disk.free_bytes for where, disk in disks.items() if not disk.fault}
    problems = [*_unwritable(faults)] if faults else []
    problems += _scarce(
        "disk",
        free_bytes,
        (DISK_RED_BYTES, DISK_WARN_BYTES),
        "Make room, or write elsewhere (--path, TMPDIR). A checkpoint of Adam has three times the "
        "bytes of the parameters, and several are kept.",
    )
    least = min(free_bytes.values(), default=0)
    return problems_or_ok(problems, "disk", f"{gib(least)} or more free where tasks write")


def memory(job: JobObservations) -> Sequence[Finding]:
    """Check that there is memory for each task. Tasks of one network share a machine's memory."""
    sharing = collections.Counter(facts.network_id for facts in job.facts)
    free_bytes = {
        facts.label: facts.limits.available_bytes // sharing[facts.network_id]
        for facts in job.facts
    }
    problems = _scarce(
        "memory",
        free_bytes,
        (MEMORY_RED_BYTES, MEMORY_WARN_BYTES),
        "End what else runs there, raise the container's limit, or take a larger machine. A task "
        "takes about 0.9 GB before its first variable, and those of one machine share it.",
    )
    return problems_or_ok(
        [*problems], "memory", f"{gib(min(free_bytes.values()))} or more free for each task"
    )


def cores(job: JobObservations) -> Sequence[Finding]:
    """Check that TensorFlow does not start more threads than the container may run at once."""
    throttled = {facts.label: facts.limits for facts in job.facts if _is_throttled(facts.limits)}
    fewest = min(facts.limits.cores for facts in job.facts)
    return problems_or_ok([*_throttled(throttled)], "cores", f"{fewest} or more for each task")


def open_files(job: JobObservations) -> Sequence[Finding]:
    """Check that each task may open its connections and the files of its data."""
    needed = OPEN_FILES + OPEN_FILES_PER_TASK * len(job.answers)
    allowed = {facts.label: facts.limits.open_files for facts in job.facts}
    low = [f"{label} ({number})" for label, number in allowed.items() if number < needed]
    problem = Finding(
        check="open files",
        level=Level.WARN,
        says=f"fewer than {needed} allowed: {names(low)}",
        to_do=f"Raise the limit there, e.g. ulimit -n {max(4096, needed)}: each connection to "
        "another task and each file of the data is one.",
    )
    ok = f"{min(allowed.values()):,} or more allowed"
    return problems_or_ok([problem] if low else [], "open files", ok)


def _unwritable(faults: Sequence[str]) -> Iterator[Finding]:
    yield Finding(
        check="disk",
        level=Level.RED,
        says=f"nothing can be written: {joined(faults)}",
        to_do="Make the folder and let the task's user write in it, or name another (--path).",
    )


def _scarce(
    check: str, free_bytes: Mapping[str, int], limits: tuple[int, int], to_do: str
) -> Iterator[Finding]:
    """Report where less is free than the limits for red and warn."""
    red_bytes, warn_bytes = limits
    for level, from_bytes, below_bytes in (
        (Level.RED, 0, red_bytes),
        (Level.WARN, red_bytes, warn_bytes),
    ):
        low = [
            f"{where} ({gib(size)})"
            for where, size in free_bytes.items()
            if from_bytes <= size < below_bytes
        ]
        if low:
            says = f"less than {gib(below_bytes)} free: {names(low)}"
            yield Finding(check=check, level=level, says=says, to_do=to_do)


def _is_throttled(limits: ResourceLimits) -> bool:
    quota = limits.quota_cores
    return quota is not None and quota < limits.cores and not limits.intra_op_threads


def _throttled(tasks: Mapping[str, ResourceLimits]) -> Iterator[Finding]:
    if not tasks:
        return
    parts = [f"{label} {limits.quota_cores:g} of {limits.cores}" for label, limits in tasks.items()]
    threads = max(1, math.ceil(min(limits.quota_cores or 1 for limits in tasks.values())))
    yield Finding(
        check="cores",
        level=Level.WARN,
        says=f"fewer granted by the container than TensorFlow starts threads for: {names(parts)}",
        to_do=f"Set TF_NUM_INTRAOP_THREADS={threads} there, or raise the container's limit: "
        "threads beyond it are paused in turn, and the others wait for them.",
    )
