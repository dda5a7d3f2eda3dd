"""What the subcommands that take a job spec share: `-f`, `-n`, and messages about faults."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from tfps.cli.usage import TAKES_NO_PROGRAM, USAGE_ERROR, usage_error
from tfps.errors import JobSpecError, LaunchError
from tfps.log import say

if TYPE_CHECKING:
    from tfps.jobs.file import JobFile
    from tfps.jobs.spec import JobSpec

File = Annotated[
    str,
    tyro.conf.arg(
        aliases=["-f"], metavar="SPEC", help="Path of the job spec, or - for standard input."
    ),
]
Namespace = Annotated[
    str | None,
    tyro.conf.arg(
        aliases=["-n"], metavar="NAME", help="Kubernetes namespace, instead of the spec's."
    ),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpecFile:
    """The job spec of a subcommand.

    Attributes:
        command: The subcommand's name, with which its messages begin.
        file: Path of the spec, or "-" for standard input.
        namespace: Replaces the spec's kubernetes.namespace.
    """

    command: str
    file: str
    namespace: str | None = None

    def use(self, program: Sequence[str], action: Callable[[JobFile, JobSpec], int]) -> int:
        """Read the spec, call a function with it, and return the exit code.

        Args:
            program: What followed `--`, which is a usage error.
            action: Takes the file and the spec, and returns an exit code.

        Returns:
            The action's exit code; 2 for a usage error or a faulty spec; 1 if the platform refuses.
        """
        if program:
            return usage_error(self.command, [TAKES_NO_PROGRAM])
        from tfps.jobs.file import JobFile

        try:
            text = sys.stdin.read() if self.file == "-" else Path(self.file).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            fault = f"{self.file!r} cannot be read: {error}. Give the path of a job spec, or -."
            return usage_error(self.command, [fault])
        job_file = JobFile(name="standard input" if self.file == "-" else self.file, text=text)
        try:
            return action(job_file, self._with_namespace(job_file.spec()))
        except JobSpecError as error:
            for line in job_file.located(error.faults):
                print(line, file=sys.stderr)
            return USAGE_ERROR
        except LaunchError as error:
            for line in str(error).splitlines():
                say(line, f"tfps {self.command}")
            return 1

    def _with_namespace(self, spec: JobSpec) -> JobSpec:
        if self.namespace is None:
            return spec
        kubernetes = dataclasses.replace(spec.kubernetes, namespace=self.namespace)
        return dataclasses.replace(spec, kubernetes=kubernetes)
