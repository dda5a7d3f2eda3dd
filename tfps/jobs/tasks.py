"""The tasks of a job: their environment, and the hosts, ports and GPUs that they get.

Hosts are those of the roles; without any, all tasks are on this machine.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from math import floor

from tfps.cluster import addresses
from tfps.cluster.environment import DEFAULTS, NO_GPUS, threads
from tfps.cluster.spec import ClusterSpec, Task
from tfps.errors import Fault
from tfps.jobs import checks
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec

CHECKPOINT_DIR = "TFPS_CHECKPOINT_DIR"


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
    """Return a task's name as `tfps logs --task` takes it, e.g. `worker:1`."""
    return f"{task.type}:{task.index}"


def environment(
    spec: JobSpec, task_type: str, role: Role, inherited: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the environment of a role's tasks, without TF_CONFIG.

    Variables that the spec sets take precedence over those that tfps sets.

    Args:
        spec: The job.
        task_type: The role's task type.
        role: The role.
        inherited: Variables that the platform sets. They take precedence over tfps's defaults, but
            not over what follows from the role.
    """
    from_job = {} if spec.checkpoint_dir is None else {CHECKPOINT_DIR: spec.checkpoint_dir}
    from_role = {**threads(max(1, floor(role.cpu))), **({} if role.gpus else NO_GPUS)}
    return {**DEFAULTS, **(inherited or {}), **from_role, **spec.env, **role.env, **from_job}


def cluster_spec(spec: JobSpec, address: Callable[[Task], str]) -> ClusterSpec:
    """Return the cluster of all tasks, evaluators included, given the address of each task."""
    return ClusterSpec(
        **{
            task_type: tuple(
                address(Task(type=task_type, index=index)) for index in range(role.replicas)
            )
            for task_type, role in spec.roles
        }
    )


def host_of(spec: JobSpec, task: Task) -> str:
    """Return the host of a task: one of its role's hosts, or this machine."""
    role = role_of(spec, task)
    return role.hosts[task.index] if role.hosts else addresses.LOOPBACK


def cluster_at(spec: JobSpec, host: Callable[[Task], str]) -> ClusterSpec:
    """Return the cluster of all tasks, given the host of each task.

    The first task of each host gets the spec's port, and each further task the next port. Ports
    that the roles give to their programs are skipped.

    Raises:
        JobSpecError: There are too few ports above the spec's.
    """
    ports = _ports(spec, host)
    return cluster_spec(spec, lambda task: _address(host(task), ports[task]))


def gpus_at(spec: JobSpec, host: Callable[[Task], str]) -> dict[Task, range]:
    """Return the numbers of the GPUs that each task gets, given the host of each task."""
    used: dict[str, int] = {}
    gpus = {}
    for task in tasks(spec):
        machine, role = _machine(host(task)), role_of(spec, task)
        first = used.get(machine, 0)
        used[machine] = first + role.gpus
        gpus[task] = range(first, used[machine])
    return gpus


def check_hosts(spec: JobSpec) -> None:
    """Check that all roles have hosts that can reach each other, or that no role has hosts.

    Raises:
        JobSpecError: Neither is so.
    """
    checks.check(_host_faults(spec))


def _ports(spec: JobSpec, host: Callable[[Task], str]) -> dict[Task, int]:
    named = {port for _, role in spec.roles for port in role.ports.values()}
    used: dict[str, int] = {}
    ports = {}
    for task in tasks(spec):
        machine = _machine(host(task))
        port = used.get(machine, spec.port - 1) + 1
        while port in named:
            port += 1
        used[machine] = ports[task] = port
    last = max(ports.values())
    if last > addresses.LAST_PORT:
        sentence = (
            f"{spec.port} leaves too few ports for the tasks of one host, the last of which would "
            f"get {last}. Choose at most {spec.port - (last - addresses.LAST_PORT)}."
        )
        checks.check([Fault(("port",), sentence)])
    return ports


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _host_faults(spec: JobSpec) -> Iterator[Fault]:
    with_hosts = [task_type for task_type, role in spec.roles if role.hosts]
    hosts = [host for _, role in spec.roles for host in role.hosts]
    remote = [host for host in hosts if not _is_loopback(host)]
    for task_type, role in spec.roles:
        if with_hosts and not role.hosts:
            yield Fault(
                ("roles", task_type),
                f"it has no hosts, but {' and '.join(with_hosts)} have some. Give hosts for all "
                "roles, or for none: then all tasks are on this machine.",
            )
        for index, host in enumerate(role.hosts):
            if remote and _is_loopback(host):
                yield Fault(
                    ("roles", task_type, "hosts", index),
                    f"{host!r} is each machine itself, so that tasks on {remote[0]} would not "
                    "reach it. Give the name or address that it has on the network.",
                )


def _machine(host: str) -> str:
    """Return the same text for hosts that are one machine, as far as their names show."""
    return addresses.LOOPBACK if _is_loopback(host) else host.lower()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
