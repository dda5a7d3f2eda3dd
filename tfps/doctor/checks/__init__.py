"""Judge what was observed. Nothing here touches the machine.

Each check returns its findings: one that all is well, or one for each kind of fault.
"""

from __future__ import annotations

from collections.abc import Mapping

from tfps.doctor.checks import exposure, gpu, links, machine, tasks, versions
from tfps.doctor.finding import Finding
from tfps.doctor.observed import Observed


def judge(
    observed: Observed, *, supported: Mapping[str, str], firewalled: bool = False
) -> tuple[Finding, ...]:
    """Return the findings of all checks.

    Args:
        observed: What is known of the job, or of this machine alone.
        supported: The versions that tfps works with, by package.
        firewalled: Whether the user vouches for a firewall around the job's hosts.
    """
    findings = [*versions.check(observed, supported)]
    if observed.spec.chief:
        for check in (tasks.answer, tasks.config, tasks.ports, tasks.reach, tasks.clock):
            findings += check(observed)
    for check in (machine.disk, machine.memory, machine.cores, machine.open_files, gpu.check):
        findings += check(observed)
    if observed.links:
        for check in (links.latency, links.bandwidth, links.left_out):
            findings += check(observed)
    findings += exposure.loopback(observed)
    findings += exposure.public(observed, firewalled=firewalled)
    return tuple(findings)
