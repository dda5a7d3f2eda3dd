"""The launcher of jobs on hosts that ssh reaches."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Iterable
from concurrent import futures
from typing import ClassVar

from tfps.errors import LaunchError
from tfps.jobs import hosts
from tfps.jobs.cluster import role_of, tasks
from tfps.jobs.local import supervisor
from tfps.jobs.local.supervised import SupervisedLauncher
from tfps.jobs.spec import JobSpec
from tfps.jobs.ssh.plan import CLIENT, FIND, Place, check_hosts, on_host

_CHECK_WITHIN_S = 60.0
_MOST_AT_ONCE = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class SshLauncher(SupervisedLauncher):
    """The hosts of a job's roles, by `ssh` and the user's configuration of it.

    A task ends with its connection: when the supervisor here ends, or its machine, or the network.
    """

    target: ClassVar[supervisor.Target] = "ssh"

    def check(self, spec: JobSpec) -> None:
        """Check that each host lets this user in, and has the folder and the programs.

        Raises:
            LaunchError: One does not; all are listed.
        """
        check_hosts(spec)
        programs: dict[str, set[str]] = {}
        for task in tasks(spec):
            role = role_of(spec, task)
            # Where the spec has a PATH, it is the host that knows.
            needed = set() if "PATH" in {**spec.env, **role.env} else {spec.command_of(role)[0]}
            programs.setdefault(hosts.host_of(spec, task), set()).update(needed)
        with futures.ThreadPoolExecutor(min(len(programs), _MOST_AT_ONCE)) as pool:
            found = list(pool.map(_host_fault, programs, programs.values()))
        faults = [fault for fault in found if fault]
        if faults:
            raise LaunchError("\n".join(faults))


def _host_fault(host: str, programs: Iterable[str]) -> str:
    """Say what is wrong with a host, or return nothing."""
    place = Place(folder=os.getcwd(), path=supervisor.own_programs())
    try:
        done = subprocess.run(
            [*CLIENT, host, on_host(FIND, place, sorted(programs))],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_CHECK_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{host}: {error}"
    if done.returncode == 0:
        return ""
    said = " ".join(done.stderr.split()) or f"ssh ended with code {done.returncode}"
    return f"{host}: {said}"
