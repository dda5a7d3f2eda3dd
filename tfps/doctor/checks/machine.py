"""Check what each task may take of its machine: disk, memory, cores, open files."""

from __future__ import annotations

import collections
import math
from collections.abc import Iterator, Mapping, Sequence

from tfps.doctor.facts import Limits
from tfps.doctor.finding import Finding, Level, or_well
from tfps.doctor.observed import Observed
from tfps.doctor.wording import GIB, gib, joined, names

DISK_RED_BYTES, DISK_WARN_BYTES = 1 * GIB, 10 * GIB
MEMORY_RED_BYTES, MEMORY_WARN_BYTES = 1 * GIB, 2 * GIB
OPEN_FILES, OPEN_FILES_PER_TASK = 256, 16


def disk(observed: Observed) -> Sequence[Finding]:
    """Check that there is room where checkpoints and temporary files go."""
    disks = {f"{one.path} of {facts.label}": one for facts in observed.facts for one in facts.disks}
    faults = [f"{where} ({one.fault})" for where, one in disks.items() if one.fault]
    free_bytes = {where: one.free_bytes for where, one in disks.items() if not one.fault}
    found = [*_unwritable(faults)] if faults else []
    found += _scarce(
        "disk",
        free_bytes,
        (DISK_RED_BYTES, DISK_WARN_BYTES),
        "Make room, or write elsewhere (--path, TMPDIR). A checkpoint of Adam has three times the "
        "bytes of the parameters, and several are kept.",
    )
    least = min(free_bytes.values(), default=0)
    return or_well(found, "disk", f"{gib(least)} or more free where tasks write")


def memory(observed: Observed) -> Sequence[Finding]:
    """Check that there is memory for each task; those of one network share their machine's."""
    sharing = collections.Counter(facts.network_id for facts in observed.facts)
    free_bytes = {
        facts.label: facts.limits.available_bytes // sharing[facts.network_id]
        for facts in observed.facts
    }
    found = _scarce(
        "memory",
        free_bytes,
        (MEMORY_RED_BYTES, MEMORY_WARN_BYTES),
        "End what else runs there, raise the container's limit, or take a larger machine. A task "
        "takes about 0.9 GB before its first variable, and those of one machine share it.",
    )
    return or_well(
        [*found], "memory", f"{gib(min(free_bytes.values()))} or more free for each task"
    )


def cores(observed: Observed) -> Sequence[Finding]:
    """Check that TensorFlow does not make more threads than the container may run at once."""
    throttled = {one.label: one.limits for one in observed.facts if _is_throttled(one.limits)}
    fewest = min(facts.limits.cores for facts in observed.facts)
    return or_well([*_throttled(throttled)], "cores", f"{fewest} or more for each task")


def open_files(observed: Observed) -> Sequence[Finding]:
    """Check that a task may have its connections, and the files of its data, open."""
    needed = OPEN_FILES + OPEN_FILES_PER_TASK * len(observed.answers)
    allowed = {facts.label: facts.limits.open_files for facts in observed.facts}
    low = [f"{label} ({number})" for label, number in allowed.items() if number < needed]
    fault = Finding(
        check="open files",
        level=Level.WARN,
        says=f"fewer than {needed} allowed: {names(low)}",
        to_do=f"Raise the limit there, e.g. ulimit -n {max(4096, needed)}: each connection to "
        "another task and each file of the data is one.",
    )
    well = f"{min(allowed.values()):,} or more allowed"
    return or_well([fault] if low else [], "open files", well)


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
    """Find what has less than the limits, red and warn, free."""
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


def _is_throttled(limits: Limits) -> bool:
    quota = limits.quota_cores
    return quota is not None and quota < limits.cores and not limits.intra_op_threads


def _throttled(tasks: Mapping[str, Limits]) -> Iterator[Finding]:
    if not tasks:
        return
    given = [f"{label} {one.quota_cores:g} of {one.cores}" for label, one in tasks.items()]
    threads = max(1, math.ceil(min(one.quota_cores or 1 for one in tasks.values())))
    yield Finding(
        check="cores",
        level=Level.WARN,
        says=f"fewer granted by the container than TensorFlow makes threads for: {names(given)}",
        to_do=f"Set TF_NUM_INTRAOP_THREADS={threads} there, or raise the container's limit: "
        "threads beyond it are stopped in turn, and the others wait for them.",
    )
