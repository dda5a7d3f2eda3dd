"""`tfps status`: the state of a job and its tasks."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from tfps.cli.spec_file import File, Namespace, SpecFile
from tfps.jobs.targets import LaunchTargetName, launcher
from tfps.jobs.tasks import name_of

if TYPE_CHECKING:
    from tfps.jobs.file import JobFile
    from tfps.jobs.spec import JobSpec
    from tfps.jobs.targets import JobStatus


@dataclasses.dataclass(frozen=True, kw_only=True)
class Status:
    """Print the state of a submitted job: tfps status -f SPEC --target kubernetes.

    The exit code is 0 if the job was found, whatever its state.
    """

    file: File

    target: LaunchTargetName
    """The platform that runs the job."""

    namespace: Namespace = None

    output: Annotated[Literal["table", "yaml", "json"], tyro.conf.arg(aliases=["-o"])] = "table"
    """Format of the output."""

    def run(self, program: Sequence[str]) -> int:
        """Print the status and return the exit code."""
        spec_file = SpecFile(command="status", file=self.file, namespace=self.namespace)
        return spec_file.use(program, self._print)

    def _print(self, job_file: JobFile, spec: JobSpec) -> int:
        status = launcher(self.target).status(spec)
        if self.output == "json":
            print(json.dumps(status.as_dict(), indent=2))
        elif self.output == "yaml":
            import yaml

            print(yaml.safe_dump(status.as_dict(), sort_keys=False), end="")
        else:
            print("\n".join(_table(status)))
        return 0


def _table(status: JobStatus) -> list[str]:
    rows = [("TASK", "STATE", "RESTARTS", "PLACE", "MESSAGE")]
    rows += [
        (
            name_of(task.task),
            task.state,
            "" if task.restarts is None else str(task.restarts),
            task.place,
            task.message,
        )
        for task in status.tasks
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return [status.summary, *(lines if status.tasks else ())]
