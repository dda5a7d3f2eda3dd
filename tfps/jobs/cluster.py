"""The cluster of a job spec, and what each of its tasks has in its environment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import floor

from tfps.cluster.spec import ClusterSpec, Task
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec

CHECKPOINT_DIR = "TFPS_CHECKPOINT_DIR"


def cluster_spec(spec: JobSpec, address: Callable[[Task], str]) -> ClusterSpec:
    """Return the cluster of all tasks, evaluators included, at the addresses of a platform."""
    return ClusterSpec(
        **{
            task_type: tuple(
                address(Task(type=task_type, index=index)) for index in range(role.replicas)
            )
            for task_type, role in spec.roles
        }
    )


def tasks(spec: JobSpec) -> Iterator[Task]:
    """Iterate over all tasks of a job, in the order of `TASK_TYPES`."""
    for task_type, role in spec.roles:
        for index in range(role.replicas):
            yield Task(type=task_type, index=index)


def environment(spec: JobSpec, task_type: str, role: Role) -> dict[str, str]:
    """Return the environment of a role's tasks, TF_CONFIG left out.

    What the spec sets goes before what tfps would set.
    """
    own = {} if spec.checkpoint_dir is None else {CHECKPOINT_DIR: spec.checkpoint_dir}
    return {**_defaults(task_type, role), **spec.env, **role.env, **own}


def _defaults(task_type: str, role: Role) -> dict[str, str]:
    threads = str(max(1, floor(role.cpu)))
    return {
        # In pages of 2 MB a look at a row of a large table misses the address cache less.
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
        "OMP_NUM_THREADS": threads,
        # Output comes line by line, not in blocks of a few kilobytes.
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        # Without it TensorFlow takes a thread for each core of the node.
        "TF_NUM_INTRAOP_THREADS": threads,
        **({"CUDA_VISIBLE_DEVICES": "-1"} if not role.gpus else {}),
    }
