"""The cluster of a job spec, and what each of its tasks has in its environment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import floor

from tfps.cluster.environment import DEFAULTS, NO_GPUS, threads
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


def role_of(spec: JobSpec, task: Task) -> Role:
    """Return the role of a task."""
    role: Role = getattr(spec.roles, task.type)
    return role


def name_of(task: Task) -> str:
    """Name a task as `tfps logs --task` does, e.g. `worker:1`."""
    return f"{task.type}:{task.index}"


def environment(
    spec: JobSpec, task_type: str, role: Role, inherited: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the environment of a role's tasks, TF_CONFIG left out.

    What the spec sets goes before what tfps would set.

    Args:
        spec: The job.
        task_type: The role's.
        role: What a task needs.
        inherited: What a task on this platform finds set already. It goes before tfps's defaults,
            but not before what the role asks for.
    """
    own = {} if spec.checkpoint_dir is None else {CHECKPOINT_DIR: spec.checkpoint_dir}
    asked = {**threads(max(1, floor(role.cpu))), **({} if role.gpus else NO_GPUS)}
    return {**DEFAULTS, **(inherited or {}), **asked, **spec.env, **role.env, **own}
