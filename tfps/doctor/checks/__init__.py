"""Judge what is known of a job. Nothing here touches the machine.

Each check returns one finding if all is well, or else one for each kind of problem.
"""

from __future__ import annotations

from collections.abc import Mapping

from tfps.doctor.checks import machine, network, software, tasks
from tfps.doctor.findings import Finding
from tfps.doctor.observations import JobObservations


def judge(
    job: JobObservations, *, supported: Mapping[str, str], firewalled: bool = False
) -> tuple[Finding, ...]:
    """Return the findings of all checks.

    Args:
        job: What is known of the job, or of this machine alone.
        supported: The versions that tfps supports, by package.
        firewalled: Whether the user vouches for a firewall around the job's hosts.
    """
    findings = [*software.versions(job, supported)]
    if job.spec.chief:
        for check in (tasks.answer, tasks.config, tasks.ports, tasks.reach, tasks.clock):
            findings += check(job)
    for check in (machine.disk, machine.memory, machine.cores, machine.open_files, software.gpus):
        findings += check(job)
    if job.links:
        for check in (network.latency, network.bandwidth, network.left_out):
            findings += check(job)
    findings += network.loopback(job)
    findings += network.public_addresses(job, firewalled=firewalled)
    return tuple(findings)
