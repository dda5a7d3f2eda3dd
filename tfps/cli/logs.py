"""`tfps logs`: what a task of a job writes."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import tyro

from tfps.cli.spec_file import USAGE_ERROR, File, Namespace, SpecFile
from tfps.cluster.spec import Task
from tfps.jobs.targets import LaunchTargetName, launcher

if TYPE_CHECKING:
    from tfps.jobs.file import JobFile
    from tfps.jobs.spec import JobSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class Logs:
    """Print what a task of a submitted job writes: tfps logs -f SPEC --target kubernetes."""

    file: File
    """Path of the job spec, or - for standard input."""

    target: LaunchTargetName
    """Who runs it."""

    namespace: Namespace = None
    """Kubernetes namespace, instead of the spec's."""

    task: str = "chief"
    """Which task: its type, and its index after a colon if there are several, e.g. worker:1."""

    follow: Annotated[bool, tyro.conf.arg(aliases=["-F"])] = False
    """Go on until the task has ended."""

    def run(self, program: Sequence[str]) -> int:
        """Print the lines and return the exit code."""
        spec_file = SpecFile(command="logs", file=self.file, namespace=self.namespace)
        return spec_file.use(program, self._print)

    def _print(self, job_file: JobFile, spec: JobSpec) -> int:
        from tfps.jobs.tasks import name_of, tasks

        known = {name_of(task): task for task in tasks(spec)}
        task = known.get(self.task if ":" in self.task else f"{self.task}:0")
        if task is None:
            print(
                f"tfps logs: --task {self.task!r} is not one of {', '.join(known)}.",
                file=sys.stderr,
            )
            return USAGE_ERROR
        return self._follow(spec, task)

    def _follow(self, spec: JobSpec, task: Task) -> int:
        try:
            for line in launcher(self.target).logs(spec, task, follow=self.follow):
                print(line, flush=self.follow)
        except KeyboardInterrupt:
            return 130
        return 0
