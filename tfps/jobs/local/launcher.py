"""The launcher of jobs on this machine."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from tfps.cluster import addresses
from tfps.cluster.processes.plan import program_fault
from tfps.errors import LaunchError
from tfps.jobs.cluster import tasks
from tfps.jobs.local import supervisor
from tfps.jobs.local.supervised import SupervisedLauncher
from tfps.jobs.spec import JobSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocalLauncher(SupervisedLauncher):
    """This machine, at ports that are free when a job starts."""

    target: ClassVar[supervisor.Target] = "local"

    def check(self, spec: JobSpec) -> None:
        """Check that programs and ports are there.

        Raises:
            LaunchError: They are not.
        """
        faults = []
        for _, role in spec.roles:
            path = {"PATH": supervisor.search_path(), **spec.env, **role.env}["PATH"]
            faults.append(program_fault(spec.command_of(role)[0], path))
        found = [fault for fault in dict.fromkeys(faults) if fault is not None]
        if found:
            raise LaunchError("\n".join(found))
        try:
            addresses.free_ports(len(list(tasks(spec))))
        except OSError as error:
            raise LaunchError(str(error)) from error
