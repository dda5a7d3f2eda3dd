"""`tfps cancel`: end a job."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfps.cli.spec_file import File, Namespace, SpecFile
from tfps.jobs.targets import LaunchTargetName, launcher

if TYPE_CHECKING:
    from tfps.jobs.file import JobFile
    from tfps.jobs.spec import JobSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cancel:
    """End all tasks of a submitted job: tfps cancel -f SPEC --target kubernetes."""

    file: File

    target: LaunchTargetName
    """The platform that runs the job."""

    namespace: Namespace = None

    def run(self, program: Sequence[str]) -> int:
        """Cancel the job, print what was done, and return the exit code."""
        spec_file = SpecFile(command="cancel", file=self.file, namespace=self.namespace)
        return spec_file.use(program, self._cancel)

    def _cancel(self, job_file: JobFile, spec: JobSpec) -> int:
        print(launcher(self.target).cancel(spec))
        return 0
