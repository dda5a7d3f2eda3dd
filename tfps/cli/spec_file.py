"""What the subcommands that take a job spec share: `-f`, `-n`, and how faults are told."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from tfps.errors import JobSpecError, LaunchError

if TYPE_CHECKING:
    from tfps.jobs.file import JobFile
    from tfps.jobs.spec import JobSpec

USAGE_ERROR = 2

File = Annotated[str, tyro.conf.arg(aliases=["-f"], metavar="SPEC")]
Namespace = Annotated[str | None, tyro.conf.arg(aliases=["-n"], metavar="NAME")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpecFile:
    """A job spec as a subcommand reads it.

    Attributes:
        command: The subcommand's name, which its messages begin with.
        file: Path of the spec, or "-" for standard input.
        namespace: Replaces the spec's kubernetes.namespace.
    """

    command: str
    file: str
    namespace: str | None = None

    def use(self, program: Sequence[str], action: Callable[[JobFile, JobSpec], int]) -> int:
        """Read the spec, act on it, and return the exit code.

        Args:
            program: What stood after `--`, which no such subcommand takes.
            action: Gets the file and the spec, and returns an exit code.

        Returns:
            That of the action; 2 for a usage error or a faulty spec; 1 when the platform refuses.
        """
        if program:
            return self._say(["runs no program; leave out what follows --."], USAGE_ERROR)
        from tfps.jobs.file import JobFile

        try:
            text = sys.stdin.read() if self.file == "-" else Path(self.file).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            return self._say(
                [f"{self.file!r} cannot be read: {error}. Give the path of a job spec, or -."],
                USAGE_ERROR,
            )
        job_file = JobFile(name="standard input" if self.file == "-" else self.file, text=text)
        try:
            return action(job_file, self._with_namespace(job_file.spec()))
        except JobSpecError as error:
            for line in job_file.located(error.faults):
                print(line, file=sys.stderr)
            return USAGE_ERROR
        except LaunchError as error:
            return self._say(str(error).splitlines(), 1)

    def _with_namespace(self, spec: JobSpec) -> JobSpec:
        if self.namespace is None:
            return spec
        kubernetes = dataclasses.replace(spec.kubernetes, namespace=self.namespace)
        return dataclasses.replace(spec, kubernetes=kubernetes)

    def _say(self, lines: Sequence[str], code: int) -> int:
        for line in lines:
            print(f"tfps {self.command}: {line}", file=sys.stderr)
        return code
