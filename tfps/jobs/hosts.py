"""On which hosts the tasks of a job are, at which ports, and with which of their GPUs.

The hosts are those of the roles; without them all tasks are on this machine.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator

from tfps.cluster import addresses
from tfps.cluster.spec import ClusterSpec, Task
from tfps.errors import Fault
from tfps.jobs import checks
from tfps.jobs.cluster import cluster_spec, role_of, tasks
from tfps.jobs.spec import JobSpec


def host_of(spec: JobSpec, task: Task) -> str:
    """Return the host of a task: the spec's, or this machine."""
    role = role_of(spec, task)
    return role.hosts[task.index] if role.hosts else addresses.LOOPBACK


def cluster_at(spec: JobSpec, host: Callable[[Task], str]) -> ClusterSpec:
    """Return the cluster with tasks at hosts, and at ports from the spec's own on.

    Of several tasks on a host, each has the next port that none of the job's programs asks for.

    Raises:
        JobSpecError: There are too few ports after the spec's.
    """
    ports = _ports(spec, host)
    return cluster_spec(spec, lambda task: _address(host(task), ports[task]))


def gpus_at(spec: JobSpec, host: Callable[[Task], str]) -> dict[Task, range]:
    """Return the numbers of the GPUs that each task has of its host, counted over its tasks."""
    used: dict[str, int] = {}
    gpus = {}
    for task in tasks(spec):
        place, role = _machine(host(task)), role_of(spec, task)
        first = used.get(place, 0)
        used[place] = first + role.gpus
        gpus[task] = range(first, used[place])
    return gpus


def check_hosts(spec: JobSpec) -> None:
    """Check that either all roles have hosts, and such that tasks reach each other, or none has.

    Raises:
        JobSpecError: They do not.
    """
    checks.check(_host_faults(spec))


def _ports(spec: JobSpec, host: Callable[[Task], str]) -> dict[Task, int]:
    named = {port for _, role in spec.roles for port in role.ports.values()}
    used: dict[str, int] = {}
    ports = {}
    for task in tasks(spec):
        place = _machine(host(task))
        port = used.get(place, spec.port - 1) + 1
        while port in named:
            port += 1
        used[place] = ports[task] = port
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
    elsewhere = [host for host in hosts if not _is_loopback(host)]
    for task_type, role in spec.roles:
        if with_hosts and not role.hosts:
            yield Fault(
                ("roles", task_type),
                f"it has no hosts, but {' and '.join(with_hosts)} have some. Give hosts for all "
                "roles, or for none: then all tasks are on this machine.",
            )
        for index, host in enumerate(role.hosts):
            if elsewhere and _is_loopback(host):
                yield Fault(
                    ("roles", task_type, "hosts", index),
                    f"{host!r} is each machine itself, so that tasks on {elsewhere[0]} would not "
                    "reach it. Give the name or address that it has on the network.",
                )


def _machine(host: str) -> str:
    """Return the same for hosts that are the same machine, as far as their names tell."""
    return addresses.LOOPBACK if _is_loopback(host) else host.lower()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
