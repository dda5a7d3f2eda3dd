"""`tfps doctor`, as the command line runs it on any task of a job."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import sys
import tempfile

from tfps.cluster.signals import SignalReceived, raise_on_signals
from tfps.cluster.spec import ClusterSpec
from tfps.cluster.tf_config import TFConfig
from tfps.doctor import calls, checks, machine, report, software
from tfps.doctor.chief import observe_job
from tfps.doctor.findings import Level, printable, worst
from tfps.doctor.observations import JobObservations, TaskAnswer, TaskFacts
from tfps.doctor.responder import respond
from tfps.log import say

RED = 1


def run(
    config: TFConfig | None,
    *,
    folder: str,
    timeout_s: float,
    most_links: int,
    firewalled: bool,
    as_json: bool,
) -> int:
    """Do this task's part of the check, and return the process's exit code.

    The chief checks the job and prints the report. Another task of its cluster answers it and
    prints no report. A task that is not in the cluster, as an evaluator may be, checks its own
    machine.

    Args:
        config: The TF_CONFIG; None to check this machine alone.
        folder: Where checkpoints go.
        timeout_s: How long the chief waits for the other tasks, and they for it.
        most_links: The largest number of links to measure.
        firewalled: Whether the user vouches for a firewall around the job's hosts.
        as_json: Whether the report is JSON instead of tables.
    """
    try:
        raise_on_signals()
        facts = machine.task_facts(config, (folder, tempfile.gettempdir()))
        if config is None or not config.cluster.addresses(config.task.type):
            job = JobObservations(
                spec=ClusterSpec(), answers={facts.label: TaskAnswer(facts=facts)}
            )
        else:
            listener, facts = _listen(config, facts)
            if config.task.type != "chief":
                return respond(config, facts, listener, timeout_s=timeout_s)
            job = observe_job(config, facts, listener, timeout_s=timeout_s, most_links=most_links)
    except SignalReceived as received:
        return received.code
    findings = checks.judge(job, supported=software.supported_versions(), firewalled=firewalled)
    with contextlib.suppress(BrokenPipeError):
        if as_json:
            print(report.as_json(job, findings))
        else:
            report.show(job, findings, sys.stdout)
    return RED if worst(findings) is Level.RED else 0


def _listen(config: TFConfig, facts: TaskFacts) -> tuple[socket.socket | None, TaskFacts]:
    """Listen at the task's port; if that fails, return the reason as part of the facts."""
    address = config.cluster.address(config.task)
    try:
        listener = calls.listen(address)
    except OSError as error:
        fault = calls.port_fault(address, error)
        say(printable(f"{config.task} cannot listen at {address}: {fault}."), "tfps doctor")
        return None, dataclasses.replace(facts, port_fault=fault)
    if config.task.type != "chief":
        say(f"{config.task} answers at {address} until the chief has its report.", "tfps doctor")
    return listener, facts
