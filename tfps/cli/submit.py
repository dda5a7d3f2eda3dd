"""`tfps submit`: hand a job to a platform."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfps.cli.spec_file import File, Namespace, SpecFile
from tfps.jobs.targets import LaunchTargetName, launcher, renderer

if TYPE_CHECKING:
    from tfps.jobs.file import JobFile
    from tfps.jobs.spec import JobSpec
    from tfps.jobs.targets import JobStatus, Launcher


@dataclasses.dataclass(frozen=True, kw_only=True)
class Submit:
    """Hand a job to a platform: tfps submit -f SPEC --target kubernetes.

    Prints what the job is called there. With --wait the exit code is 0 when the job has succeeded
    and 1 when it has failed or was cancelled; what happens meanwhile is told on standard error.
    Interrupting the wait leaves the job running.
    """

    file: File
    """Path of the job spec, or - for standard input."""

    target: LaunchTargetName
    """Who runs it."""

    namespace: Namespace = None
    """Kubernetes namespace, instead of the spec's."""

    dry_run: bool = False
    """Have the platform check the job, and start nothing."""

    wait: bool = False
    """Stay until the job is over."""

    poll_s: float = 5.0
    """With --wait: seconds between two looks at the job."""

    def run(self, program: Sequence[str]) -> int:
        """Submit the job and return the exit code."""
        spec_file = SpecFile(command="submit", file=self.file, namespace=self.namespace)
        return spec_file.use(program, self._submit)

    def _submit(self, job_file: JobFile, spec: JobSpec) -> int:
        for line in job_file.located(renderer(self.target)(spec).left_out):
            print(line, file=sys.stderr)
        platform = launcher(self.target)
        name = platform.submit(spec, dry_run=self.dry_run)
        if self.dry_run:
            print(f"{name} (dry run)")
            return 0
        print(name, flush=True)
        if not self.wait:
            return 0
        try:
            return 0 if self._until_over(platform, spec).state == "succeeded" else 1
        except KeyboardInterrupt:
            cancel = f"tfps cancel -f {self.file} --target {self.target}"
            print(f"tfps submit: {name} runs on. To end it: {cancel}", file=sys.stderr)
            return 130

    def _until_over(self, platform: Launcher, spec: JobSpec) -> JobStatus:
        told = ""
        while True:
            status = platform.status(spec)
            line = status.summary
            if line != told:
                print(f"tfps submit: {line}", file=sys.stderr, flush=True)
                told = line
            if status.is_over:
                return status
            time.sleep(self.poll_s)
