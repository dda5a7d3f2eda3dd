"""`tfps doctor`: check the machines of a job, and the network between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Literal

import tyro

from tfps.cli.usage import TAKES_NO_PROGRAM, usage_error


@dataclasses.dataclass(frozen=True, kw_only=True)
class Doctor:
    """Check the machines of a job and the network between them, before the job runs on them.

    Runs in place of the program on every task, each with its TF_CONFIG, e.g. on one machine as
    tfps local --ps P --workers W -- tfps doctor. The chief measures, prints a report with advice
    for each problem found, and ends the others. Without TF_CONFIG, only this machine is checked.
    The exit code is 1 if a line of the report is red.
    """

    path: str = "."
    """Folder for checkpoints. The folder for temporary files is checked as well."""

    timeout_s: float = 300.0
    """Seconds for which the chief waits for the other tasks, and they for the chief."""

    max_links: int = 60
    """Largest number of links to measure; each takes up to 2 seconds."""

    firewalled: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """A firewall admits only the job's hosts, so public addresses are only a warning."""

    output: Annotated[Literal["table", "json"], tyro.conf.arg(aliases=["-o"])] = "table"
    """Format of the report."""

    def run(self, program: Sequence[str]) -> int:
        """Run the checks and return the exit code; 2 for a usage error or a faulty TF_CONFIG."""
        from tfps.cluster.tf_config import TFConfig
        from tfps.errors import TFConfigError

        faults = self._faults(program)
        try:
            config = TFConfig.from_environment()
        except TFConfigError as error:
            faults += str(error).splitlines()
        if faults:
            return usage_error("doctor", faults)
        from tfps.doctor.run import run

        return run(
            config,
            folder=self.path,
            timeout_s=self.timeout_s,
            most_links=self.max_links,
            firewalled=self.firewalled,
            as_json=self.output == "json",
        )

    def _faults(self, program: Sequence[str]) -> list[str]:
        faults = []
        if program:
            faults.append(TAKES_NO_PROGRAM)
        if self.timeout_s <= 0:
            faults.append(f"--timeout-s is {self.timeout_s:g}; use more than 0.")
        if self.max_links < 0:
            faults.append(f"--max-links is {self.max_links}; use 0 or more.")
        return faults
