"""Tasks as plain processes: their environment, and what of a spec is without effect on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping

from tfps.cluster.environment import NO_GPUS, VISIBLE_GPUS
from tfps.cluster.spec import ClusterSpec, Task
from tfps.cluster.tf_config import VARIABLE, TFConfig
from tfps.errors import Fault
from tfps.jobs.cluster import environment, role_of
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec


def environment_of(
    spec: JobSpec,
    task: Task,
    cluster: ClusterSpec,
    gpus: Iterable[object],
    inherited: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the environment of a task, TF_CONFIG included.

    Args:
        spec: The job.
        task: Which.
        cluster: The job's, with addresses.
        gpus: Numbers, or other names, of the GPUs that the task has of its machine.
        inherited: What the task finds set already.
    """
    role = role_of(spec, task)
    visible = {VISIBLE_GPUS: ",".join(map(str, gpus)) or NO_GPUS[VISIBLE_GPUS]}
    return {
        **environment(spec, task.type, role, {**(inherited or {}), **visible}),
        VARIABLE: TFConfig(cluster=cluster, task=task).to_json(),
    }


def left_out(
    spec: JobSpec, *, with_effect: Collection[str] = (), **without_effect: str
) -> Iterator[Fault]:
    """Find what of a spec is without effect where tasks are plain processes.

    Args:
        spec: The job.
        with_effect: Fields of a role that have an effect all the same.
        without_effect: Further fields of a role that have none if they are given, and why.
    """
    if spec.image is not None:
        yield Fault(("image",), _WITHOUT_EFFECT["image"])
    if spec.labels:
        yield Fault(("labels",), "there is no object that could have them.")
    for name in spec.volumes:
        yield from _volume_left_out(spec, name)
    for task_type, role in spec.roles:
        for name, meaning in {**_WITHOUT_EFFECT, **without_effect}.items():
            if name not in with_effect and getattr(role, name) != _DEFAULTS[name]:
                yield Fault(("roles", task_type, name), meaning)
    if spec.tuning is not None:
        yield Fault(("tuning",), "the job runs once, without a search.")


def is_there(spec: JobSpec, path: str) -> bool:
    """Return whether the chief finds a path of the spec without a mount: a host_path, as it is."""
    mount = spec.mount_of(path, spec.roles.chief)
    return mount is not None and spec.volumes[mount.volume].host_path == mount.path


_PLACED = "tasks run on the machines that they are started on."
_WITHOUT_EFFECT = {
    "image": "tasks run the programs of their machine, in no container.",
    "minimum_replicas": "nothing takes workers away.",
    "disk_gib": "tasks have the disk of their machine.",
    "gpu_type": _PLACED,
    "machine_type": _PLACED,
    "node_selector": _PLACED,
    "tolerations": _PLACED,
    "spot": _PLACED,
}

# Of a default_factory's fields, all of which are empty, a tuple or mapping that is given differs.
_DEFAULTS = {
    field.name: field.default
    if field.default_factory is dataclasses.MISSING
    else field.default_factory()
    for field in dataclasses.fields(Role)
}


def _volume_left_out(spec: JobSpec, name: str) -> Iterator[Fault]:
    paths = [
        mount.path
        for mounts in (spec.mounts, *(role.mounts for _, role in spec.roles))
        for mount in mounts
        if mount.volume == name and mount.path != spec.volumes[name].host_path
    ]
    if paths:
        places = " and ".join(dict.fromkeys(paths))
        yield Fault(("volumes", name), f"nothing mounts it: tasks find at {places} what is there.")
