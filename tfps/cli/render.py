"""`tfps render`: a job spec in the form of a platform."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from tfps.cli.spec_file import File, Namespace, SpecFile
from tfps.jobs.targets import TargetName, renderer

if TYPE_CHECKING:
    from tfps.jobs.file import JobFile
    from tfps.jobs.spec import JobSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class Render:
    """Print a job spec in the form of a platform: tfps render -f SPEC --target kubernetes.

    Uses no network and changes nothing; the same spec always gives the same text. Parts of the spec
    that have no counterpart on the platform are listed on standard error.
    """

    file: File

    target: TargetName
    """The platform."""

    output: Annotated[Literal["yaml", "json"] | None, tyro.conf.arg(aliases=["-o"])] = None
    """Format of the output. By default YAML, or a script for slurm."""

    namespace: Namespace = None

    def run(self, program: Sequence[str]) -> int:
        """Print the rendering and return the exit code."""
        spec_file = SpecFile(command="render", file=self.file, namespace=self.namespace)
        return spec_file.use(program, self._print)

    def _print(self, job_file: JobFile, spec: JobSpec) -> int:
        from tfps.jobs.rendering import write

        rendering = renderer(self.target)(spec)
        for line in job_file.located(rendering.left_out):
            print(line, file=sys.stderr)
        sys.stdout.write(write(rendering, self.output))
        return 0
