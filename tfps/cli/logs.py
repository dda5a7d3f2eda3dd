"""`tfps logs`: the output of a task."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import tyro

from tfps.cli.spec_file import File, Namespace, SpecFile
from tfps.cli.usage import usage_error
from tfps.cluster.spec import Task
from tfps.jobs.targets import LaunchTargetName, launcher

if TYPE_CHECKING:
    from tfps.jobs.file import JobFile
    from tfps.jobs.spec import JobSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class Logs:
    """Print the output of a task of a submitted job: tfps logs -f SPEC --target kubernetes."""

    file: File

    target: LaunchTargetName
    """The platform that runs the job."""

    namespace: Namespace = None

    task: str = "chief"
    """The task: its type, and if there are several of it, a colon and its index, e.g. worker:1."""

    follow: Annotated[bool, tyro.conf.arg(aliases=["-F"])] = False
    """Wait for more lines until the task has ended."""

    def run(self, program: Sequence[str]) -> int:
        """Print the lines and return the exit code."""
        spec_file = SpecFile(command="logs", file=self.file, namespace=self.namespace)
        return spec_file.use(program, self._print)

    def _print(self, job_file: JobFile, spec: JobSpec) -> int:
        from tfps.jobs.tasks import name_of, tasks

        known = {name_of(task): task for task in tasks(spec)}
        task = known.get(self.task if ":" in self.task else f"{self.task}:0")
        if task is None:
            fault = f"--task {self.task!r} is not one of {', '.join(known)}."
            return usage_error("logs", [fault])
        return self._follow(spec, task)

    def _follow(self, spec: JobSpec, task: Task) -> int:
        try:
            for line in launcher(self.target).logs(spec, task, follow=self.follow):
                print(line, flush=self.follow)
        except KeyboardInterrupt:
            return 130
        return 0
