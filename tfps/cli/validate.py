"""`tfps validate`: check a job spec."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfps.cli.spec_file import File, SpecFile
from tfps.errors import JobSpecError
from tfps.jobs.targets import TARGET_NAMES, TargetName, renderer

if TYPE_CHECKING:
    from tfps.jobs.file import JobFile
    from tfps.jobs.spec import JobSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class Validate:
    """Check a job spec: tfps validate -f SPEC.

    Tells every fault with its line, what is allowed, and what to do; a spec without faults gets a
    table of the targets that can run it. With --target, what that one asks for is checked as well.
    Exit code 2 when there are faults.
    """

    file: File
    """Path of the job spec, or - for standard input."""

    target: TargetName | None = None
    """Check the spec for this target, too."""

    def run(self, program: Sequence[str]) -> int:
        """Check the spec and return the exit code."""
        return SpecFile(command="validate", file=self.file).use(program, self._check)

    def _check(self, job_file: JobFile, spec: JobSpec) -> int:
        if self.target is not None:
            renderer(self.target)(spec)
            print(f"{job_file.name}: valid for {self.target}")
            return 0
        print(f"{job_file.name}: valid")
        for target in TARGET_NAMES:
            print(f"  {target:<11} {_verdict(target, spec)}")
        return 0


def _verdict(target: TargetName, spec: JobSpec) -> str:
    try:
        left_out = renderer(target)(spec).left_out
    except JobSpecError as error:
        return f"no: {error.faults[0]}" + _and_more(len(error.faults) - 1)
    return "yes" + (f", without {', '.join(fault.where for fault in left_out)}" if left_out else "")


def _and_more(number: int) -> str:
    return f" (and {number} more: --target shows all)" if number else ""
