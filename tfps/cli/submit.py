"""`tfps submit`: submit a job to a platform."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfps.cli.spec_file import File, Namespace, SpecFile
from tfps.jobs.targets import LaunchTargetName, launcher, renderer
from tfps.log import say

if TYPE_CHECKING:
    from tfps.jobs.file import JobFile
    from tfps.jobs.spec import JobSpec
    from tfps.jobs.targets import JobStatus, Launcher


@dataclasses.dataclass(frozen=True, kw_only=True)
class Submit:
    """Submit a job to a platform: tfps submit -f SPEC --target kubernetes.

    Prints the platform's name of the job. With --wait, changes of the job's state are written to
    standard error, and the exit code is 0 if the job succeeds and 1 if it fails or is cancelled.
    Ctrl-C ends the wait, not the job.
    """

    file: File

    target: LaunchTargetName
    """The platform that is to run the job."""

    namespace: Namespace = None

    dry_run: bool = False
    """Only have the platform check the job, and start nothing."""

    wait: bool = False
    """Wait until the job has ended."""

    poll_s: float = 5.0
    """With --wait: seconds between two requests for the job's state."""

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
            say(f"{name} runs on. To end it: {cancel}", "tfps submit")
            return 130

    def _until_over(self, platform: Launcher, spec: JobSpec) -> JobStatus:
        last = ""
        while True:
            status = platform.status(spec)
            if status.summary != last:
                say(status.summary, "tfps submit")
                last = status.summary
            if status.is_over:
                return status
            time.sleep(self.poll_s)
