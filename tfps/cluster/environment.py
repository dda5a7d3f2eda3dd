"""The environment variables that tfps sets for the tasks that it starts, on any platform."""

from __future__ import annotations

from collections.abc import Mapping

from tfps.quiet import LOG_LEVEL

VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"

DEFAULTS: Mapping[str, str] = {
    # With pages of 2 MB, looking up rows of a large table misses the TLB less often. glibc reads
    # this when the process starts.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    # Output appears line by line, not in blocks of a few kilobytes.
    "PYTHONUNBUFFERED": "1",
    # Without it, each process would repeat TensorFlow's messages about the machine.
    LOG_LEVEL: "2",
}
"""Defaults; the user's own settings take precedence."""

NO_GPUS: Mapping[str, str] = {VISIBLE_GPUS: "-1"}


def threads(number: int) -> dict[str, str]:
    """Return the environment of a task that computes with this many threads.

    Without it, every task uses one thread for each core of the machine.
    """
    return {"OMP_NUM_THREADS": str(number), "TF_NUM_INTRAOP_THREADS": str(number)}
