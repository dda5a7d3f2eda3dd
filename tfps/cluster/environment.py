"""What tfps sets in the environment of the tasks that it starts, wherever it starts them."""

from __future__ import annotations

from collections.abc import Mapping

VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"

DEFAULTS: Mapping[str, str] = {
    # In pages of 2 MB a look at a row of a large table misses the processor's address cache less.
    # glibc reads it when the process starts.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    # Output comes line by line, not in blocks of a few kilobytes.
    "PYTHONUNBUFFERED": "1",
    # Each process would repeat TensorFlow's remarks on the machine.
    LOG_LEVEL: "2",
}
"""What a user's own setting goes before."""

NO_GPUS: Mapping[str, str] = {VISIBLE_GPUS: "-1"}


def threads(number: int) -> dict[str, str]:
    """Return what a task with so many threads to compute with has.

    Without it TensorFlow takes a thread for each core of the machine, in every task.
    """
    return {"OMP_NUM_THREADS": str(number), "TF_NUM_INTRAOP_THREADS": str(number)}
