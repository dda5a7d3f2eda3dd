"""Target ssh: the tasks of a job run on the hosts of their roles, each started by an ssh client."""

from __future__ import annotations

import dataclasses
import functools
import os
import shlex
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent import futures
from pathlib import Path
from typing import ClassVar

from tfps.cluster.processes.plan import TaskProcess
from tfps.cluster.spec import Task
from tfps.errors import Fault, LaunchError
from tfps.jobs import checks, plain_processes
from tfps.jobs.background.launcher import BackgroundLauncher, BackgroundTarget, programs_folder
from tfps.jobs.rendering import Rendering
from tfps.jobs.spec import JobSpec
from tfps.jobs.tasks import (
    check_hosts,
    cluster_at,
    gpus_at,
    host_of,
    name_of,
    role_of,
    tasks,
)

CLIENT = (
    "ssh",
    "-T",
    *("-o", "BatchMode=yes"),  # Never ask for a password.
    *("-o", "ConnectTimeout=30"),
    *("-o", "ServerAliveInterval=15"),
)

# Run a program on a host, in a process group of its own. The arguments are a folder, folders for
# PATH, and the program. When the connection ends for any reason, standard input ends as well. Then
# the group gets SIGTERM, and SIGKILL 3 seconds later. No member of the group outlives the program.
# Code 2 says that a task was started wrongly; such a task is not restarted.
RUN = (
    '[ -z "$1" ] || cd "$1" || exit 2; [ -z "$2" ] || PATH="$2:$PATH"; export PATH; shift 2; '
    "exec 3<&0; set -m; "
    # From here on, the shell must not report on its own jobs.
    '"$@" </dev/null & task=$!; exec 2>/dev/null; '
    '{ cat <&3; kill -TERM -- "-$task"; sleep 3; kill -KILL -- "-$task"; } >/dev/null & '
    'watch=$!; wait "$task"; code=$?; '
    'kill -KILL -- "-$task" "-$watch"; exit "$code"'
)
# Find programs on a host. The first two arguments are the same; the programs follow.
FIND = (
    '[ -z "$1" ] || cd "$1" || exit 2; [ -z "$2" ] || PATH="$2:$PATH"; shift 2; code=0; '
    'for program; do command -v -- "$program" >/dev/null || '
    '{ echo "program $program was not found" >&2; code=1; }; done; exit "$code"'
)

_CHECK_WITHIN_S = 60.0
_MOST_CHECKS_AT_ONCE = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class RemoteFolders:
    """Where programs run and are found, the same on every host.

    Attributes:
        working: The working folder; None for the one in which ssh begins.
        path: Folders in which programs are found, before those of the host's own PATH.
    """

    working: str | None = None
    path: str | None = None


def render(spec: JobSpec) -> Rendering:
    """Render a job as one document for each task, with the command that runs the task.

    A task runs for as long as its command. Unlike a job that is submitted, which runs in a folder
    with the path of the folder that it is submitted from, a rendering has no working folder.

    Raises:
        JobSpecError: The hosts do not make a cluster.
    """
    documents = (
        {
            "task": name_of(process.task),
            "host": process.host,
            "command": list(process.command),
            "restarts": process.restarts,
        }
        for process in processes(spec, RemoteFolders(), environ={})
    )
    return Rendering(documents=tuple(documents), left_out=tuple(plain_processes.left_out(spec)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class SshLauncher(BackgroundLauncher):
    """Launches jobs on the hosts of their roles, by `ssh` with the user's configuration.

    A task ends with its connection: when the supervisor ends, or its machine, or the network.
    """

    target: ClassVar[BackgroundTarget] = "ssh"

    def check(self, spec: JobSpec) -> None:
        """Check that this user can log in to each host, and that folder and programs exist there.

        Raises:
            LaunchError: Some hosts have faults; all of them are listed.
        """
        _check_all_have_hosts(spec)
        programs: dict[str, set[str]] = {}
        for task in tasks(spec):
            role = role_of(spec, task)
            # If the spec sets PATH, the program is not found by the PATH of this check.
            needed = set() if "PATH" in {**spec.env, **role.env} else {spec.command_of(role)[0]}
            programs.setdefault(host_of(spec, task), set()).update(needed)
        with futures.ThreadPoolExecutor(min(len(programs), _MOST_CHECKS_AT_ONCE)) as pool:
            faults = [
                fault for fault in pool.map(_host_fault, programs, programs.values()) if fault
            ]
        if faults:
            raise LaunchError("\n".join(faults))


def processes(
    spec: JobSpec,
    folders: RemoteFolders,
    environ: Mapping[str, str],
    output: Callable[[Task], Path | None] = lambda task: None,
) -> Iterator[TaskProcess]:
    """Iterate over the ssh clients of a job, one for each task.

    Args:
        spec: The job.
        folders: Where the programs run.
        environ: The environment of the clients.
        output: Returns the file, on this machine, for a task's output.

    Raises:
        JobSpecError: The hosts do not make a cluster.
    """
    _check_all_have_hosts(spec)
    host = functools.partial(host_of, spec)
    cluster, gpus = cluster_at(spec, host), gpus_at(spec, host)
    for task in tasks(spec):
        role = role_of(spec, task)
        variables = plain_processes.environment_of(spec, task, cluster, gpus[task])
        assignments = (f"{name}={variables[name]}" for name in sorted(variables))
        program = ("env", *assignments, *spec.command_of(role))
        yield TaskProcess(
            task=task,
            command=(*CLIENT, host(task), on_host(RUN, folders, program)),
            environment=environ,
            output=output(task),
            restarts=role.restarts,
            host=host(task),
            holds_input=True,
        )


def on_host(script: str, folders: RemoteFolders, arguments: Iterable[str]) -> str:
    """Return a command line with which a host's login shell, of any kind, runs a script in bash."""
    return shlex.join(
        ["bash", "-c", script, "tfps", folders.working or "", folders.path or "", *arguments]
    )


def _check_all_have_hosts(spec: JobSpec) -> None:
    check_hosts(spec)
    if not spec.roles.chief.hosts:
        sentence = "there are no hosts. Give each role its own, e.g. hosts: [node1, node2]."
        checks.check([Fault(("roles",), sentence)])


def _host_fault(host: str, programs: Iterable[str]) -> str:
    """Return what is wrong with a host; empty if nothing is."""
    folders = RemoteFolders(working=os.getcwd(), path=programs_folder())
    try:
        completed = subprocess.run(
            [*CLIENT, host, on_host(FIND, folders, sorted(programs))],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_CHECK_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{host}: {error}"
    if completed.returncode == 0:
        return ""
    message = " ".join(completed.stderr.split()) or f"ssh ended with code {completed.returncode}"
    return f"{host}: {message}"
