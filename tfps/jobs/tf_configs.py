r"""Target tf-config: what each task is started with, for machines that something else looks after.

One document for each task: its host, its program, its environment with TF_CONFIG. With -o json they
are an array; as a file of a service's environment (systemd's EnvironmentFile), e.g.

    tfps render -f SPEC --target tf-config -o json |
        jq -r '.[] | select(.task == "worker:0").env | to_entries[] | "\(.key)=\(.value | @sh)"'
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from tfps.errors import Fault
from tfps.jobs import hosts, machines
from tfps.jobs.cluster import name_of, role_of, tasks
from tfps.jobs.rendering import Document, Rendering
from tfps.jobs.spec import JobSpec


def render(spec: JobSpec) -> Rendering:
    """Render what each task is started with.

    Raises:
        JobSpecError: The hosts do not make a cluster.
    """
    return Rendering(documents=tuple(started(spec)), left_out=tuple(_left_out(spec)))


def started(spec: JobSpec) -> Iterator[Document]:
    """Iterate over the tasks, with what each is started with.

    Raises:
        JobSpecError: The hosts do not make a cluster.
    """
    hosts.check_hosts(spec)
    host = functools.partial(hosts.host_of, spec)
    cluster, gpus = hosts.cluster_at(spec, host), hosts.gpus_at(spec, host)
    for task in tasks(spec):
        role = role_of(spec, task)
        yield {
            "task": name_of(task),
            "host": host(task),
            "command": list(spec.command_of(role)),
            "restarts": role.restarts,
            "env": machines.environment_of(spec, task, cluster, gpus[task]),
        }


def _left_out(spec: JobSpec) -> Iterator[Fault]:
    yield from machines.left_out(spec)
    if spec.timeout_s is not None:
        yield Fault(("timeout_s",), "what starts the tasks ends them.")
