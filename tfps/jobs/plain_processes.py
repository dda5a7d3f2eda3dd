r"""Tasks as plain processes, without containers: target tf-config, and what other targets share.

Target tf-config is for machines on which something else starts the tasks. It has one document for
each task, with its host, program and environment, TF_CONFIG included. With -o json the documents
are an array. To write a task's environment as a file for systemd's EnvironmentFile:

    tfps render -f SPEC --target tf-config -o json |
        jq -r '.[] | select(.task == "worker:0").env | to_entries[] | "\(.key)=\(.value | @sh)"'
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Iterable, Iterator, Mapping

from tfps.cluster.environment import NO_GPUS, VISIBLE_GPUS
from tfps.cluster.spec import ClusterSpec, Task
from tfps.cluster.tf_config import VARIABLE, TFConfig
from tfps.errors import Fault
from tfps.jobs.rendering import Document, Rendering
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec
from tfps.jobs.tasks import (
    check_hosts,
    cluster_at,
    environment,
    gpus_at,
    host_of,
    name_of,
    role_of,
    tasks,
)

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

_ROLE_DEFAULTS = {
    field.name: field.default
    if field.default_factory is dataclasses.MISSING
    else field.default_factory()
    for field in dataclasses.fields(Role)
}


def render(spec: JobSpec) -> Rendering:
    """Render a job as one document for each task, for target tf-config.

    Raises:
        JobSpecError: The hosts do not make a cluster.
    """
    check_hosts(spec)
    return Rendering(documents=tuple(_documents(spec)), left_out=tuple(_left_out(spec)))


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
        task: A task of the job.
        cluster: The job's cluster, with addresses.
        gpus: Numbers or other identifiers of the GPUs that the task gets.
        inherited: Variables that are already set where the task starts.
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
    """Yield the parts of a spec that have no effect on plain processes, and why.

    Args:
        spec: The job.
        with_effect: Fields of a role that do have an effect on the caller's target.
        without_effect: Further fields of a role that have no effect there, each with the reason.
    """
    if spec.image is not None:
        yield Fault(("image",), _WITHOUT_EFFECT["image"])
    if spec.labels:
        yield Fault(("labels",), "there is no object that could have them.")
    for name in spec.volumes:
        yield from _volume_left_out(spec, name)
    for task_type, role in spec.roles:
        for name, reason in {**_WITHOUT_EFFECT, **without_effect}.items():
            if name not in with_effect and getattr(role, name) != _ROLE_DEFAULTS[name]:
                yield Fault(("roles", task_type, name), reason)
    if spec.tuning is not None:
        yield Fault(("tuning",), "the job runs once, without a search.")


def exists_unmounted(spec: JobSpec, path: str) -> bool:
    """Return whether the chief finds a path without a mount: a host_path, mounted as itself."""
    mount = spec.mount_of(path, spec.roles.chief)
    return mount is not None and spec.volumes[mount.volume].host_path == mount.path


def _documents(spec: JobSpec) -> Iterator[Document]:
    host = functools.partial(host_of, spec)
    cluster, gpus = cluster_at(spec, host), gpus_at(spec, host)
    for task in tasks(spec):
        role = role_of(spec, task)
        yield {
            "task": name_of(task),
            "host": host(task),
            "command": list(spec.command_of(role)),
            "restarts": role.restarts,
            "env": environment_of(spec, task, cluster, gpus[task]),
        }


def _left_out(spec: JobSpec) -> Iterator[Fault]:
    yield from left_out(spec)
    if spec.timeout_s is not None:
        yield Fault(("timeout_s",), "what starts the tasks ends them.")


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
