"""Plan the ssh clients that run a job's tasks on its hosts. Pure."""

from __future__ import annotations

import dataclasses
import functools
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from tfps.cluster.processes.plan import TaskProcess
from tfps.cluster.spec import Task
from tfps.errors import Fault
from tfps.jobs import checks, hosts, machines
from tfps.jobs.cluster import role_of, tasks
from tfps.jobs.spec import JobSpec

CLIENT = (
    "ssh",
    "-T",
    *("-o", "BatchMode=yes"),  # It asks nobody for a password.
    *("-o", "ConnectTimeout=30"),
    *("-o", "ServerAliveInterval=15"),
)

# On the host, with a folder and a PATH before the program: run it in a process group of its own.
# When the connection ends, by whatever, standard input does as well; then the group gets SIGTERM,
# and SIGKILL 3 seconds later. No member of the group outlives the program. With code 2 a task says
# that it was started wrongly, and is not started again.
RUN = (
    '[ -z "$1" ] || cd "$1" || exit 2; [ -z "$2" ] || PATH="$2:$PATH"; export PATH; shift 2; '
    "exec 3<&0; set -m; "
    # The shell itself would tell how jobs of its own end.
    '"$@" </dev/null & task=$!; exec 2>/dev/null; '
    '{ cat <&3; kill -TERM -- "-$task"; sleep 3; kill -KILL -- "-$task"; } >/dev/null & '
    'watch=$!; wait "$task"; code=$?; '
    'kill -KILL -- "-$task" "-$watch"; exit "$code"'
)
# With the same first two arguments: find programs.
FIND = (
    '[ -z "$1" ] || cd "$1" || exit 2; [ -z "$2" ] || PATH="$2:$PATH"; shift 2; code=0; '
    'for program; do command -v -- "$program" >/dev/null || '
    '{ echo "program $program was not found" >&2; code=1; }; done; exit "$code"'
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where programs run and are found, the same on every host.

    Attributes:
        folder: The working folder; None for where ssh begins.
        path: Folders to find programs in, before those of the host's own PATH.
    """

    folder: str | None = None
    path: str | None = None


def processes(
    spec: JobSpec,
    place: Place,
    environ: Mapping[str, str],
    output: Callable[[Task], Path | None] = lambda task: None,
) -> Iterator[TaskProcess]:
    """Iterate over the ssh clients, one for each task.

    Args:
        spec: The job.
        place: Where its programs run.
        environ: The environment of the clients.
        output: Where a task's output is written, on this machine.

    Raises:
        JobSpecError: The hosts do not make a cluster.
    """
    check_hosts(spec)
    host = functools.partial(hosts.host_of, spec)
    cluster, gpus = hosts.cluster_at(spec, host), hosts.gpus_at(spec, host)
    for task in tasks(spec):
        role = role_of(spec, task)
        variables = machines.environment_of(spec, task, cluster, gpus[task])
        assignments = (f"{name}={variables[name]}" for name in sorted(variables))
        program = ("env", *assignments, *spec.command_of(role))
        yield TaskProcess(
            task=task,
            command=(*CLIENT, host(task), on_host(RUN, place, program)),
            environment=environ,
            output=output(task),
            restarts=role.restarts,
            host=host(task),
            holds_input=True,
        )


def on_host(script: str, place: Place, arguments: Iterable[str]) -> str:
    """Return the line by which a host's shell, of whatever kind, has bash run a script."""
    return shlex.join(
        ["bash", "-c", script, "tfps", place.folder or "", place.path or "", *arguments]
    )


def check_hosts(spec: JobSpec) -> None:
    """Check that all roles have hosts, and such that tasks reach each other.

    Raises:
        JobSpecError: They do not.
    """
    hosts.check_hosts(spec)
    if not spec.roles.chief.hosts:
        sentence = "there are no hosts. Give each role its own, e.g. hosts: [node1, node2]."
        checks.check([Fault(("roles",), sentence)])
