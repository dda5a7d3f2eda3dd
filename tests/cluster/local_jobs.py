"""A background job on this machine, for tests that submit it and check its state."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.cluster.processes import Processes, until
from tfps.cluster.spec import Task
from tfps.jobs.background.record import JobFolder
from tfps.jobs.background.this_machine import LocalLauncher
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec, Roles
from tfps.jobs.targets import JobStatus, TaskStatus

FOREVER = "exec sleep 600"
# Ends with 0 once the file is there, by the test's hand or by the chief's.
UNTIL_GO = "until [ -e GO ]; do sleep 0.05; done"


@dataclasses.dataclass
class Job:
    """A job of a test, and the processes that are started for it."""

    folder: Path
    processes: Processes
    name: str = "job"

    @property
    def launcher(self) -> LocalLauncher:
        return LocalLauncher(state=self.folder / "state")

    @property
    def written(self) -> JobFolder:
        return JobFolder(self.folder / "state" / "tfps" / "local" / self.name)

    def spec(
        self,
        chief: str = UNTIL_GO,
        worker: str = UNTIL_GO,
        ps: str = UNTIL_GO,
        **fields: Any,
    ) -> JobSpec:
        restarts = fields.pop("restarts", 0)
        scripts = {"chief": chief, "worker": worker, "ps": ps, **fields.pop("more", {})}
        roles = {
            kind: Role(command=("sh", "-c", script), restarts=restarts)
            for kind, script in scripts.items()
        }
        return JobSpec(name=self.name, roles=Roles(**roles), **fields)

    def submit(self, spec: JobSpec) -> None:
        assert self.launcher.submit(spec, dry_run=False) == self.name

    def status(self) -> JobStatus:
        return self.launcher.status(self.spec())

    def task(self, name: str) -> TaskStatus:
        [result] = [status for status in self.status().tasks if str(status.task) == name]
        return result

    def pid(self, name: str) -> int:
        return int(self.task(name).place.removeprefix("process "))

    def log(self, name: str) -> list[str]:
        kind, _ = name.split()
        task = Task(type=kind, index=0)
        return list(self.launcher.logs(self.spec(), task, follow=False))

    def until_running(self) -> None:
        until(lambda: [task.state for task in self.status().tasks] == ["running"] * 3)

    def until_over(self) -> JobStatus:
        until(lambda: self.status().is_over)
        self.processes.until_gone()
        return self.status()

    def go(self) -> None:
        (self.folder / "GO").touch()

    def tfps(self, command: str, spec: JobSpec, *options: str) -> subprocess.Popen[bytes]:
        """Start a tfps command on the job, with its spec in a file."""
        path = self.folder / "spec.yaml"
        roles = {
            kind: {"command": list(role.command or ()), "restarts": role.restarts}
            for kind, role in spec.roles
        }
        path.write_text(json.dumps({"apiVersion": "tfps/v1", "name": spec.name, "roles": roles}))
        about = ("-f", str(path), "--target", "local", *options)
        return self.processes.start(
            [sys.executable, "-m", "tfps", command, *about],
            environment={"XDG_STATE_HOME": str(self.launcher.state)},
        )
