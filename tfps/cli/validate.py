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

    Lists all faults, each with its line, what is allowed, and what to do. For a spec without
    faults, prints a table of the targets that can run it. With --target, the requirements of that
    target are checked as well. The exit code is 2 if there are faults.
    """

    file: File

    target: TargetName | None = None
    """Also check the requirements of this target."""

    def run(self, program: Sequence[str]) -> int:
        """Check the spec, print the result, and return the exit code."""
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
