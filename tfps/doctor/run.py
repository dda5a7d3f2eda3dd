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
from tfps.doctor import answering, checks, machine, report, versions
from tfps.doctor.attend import attend
from tfps.doctor.facts import Facts
from tfps.doctor.finding import Level, worst
from tfps.doctor.gather import gather
from tfps.doctor.log import say
from tfps.doctor.observed import Answer, Observed

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

    The chief gathers and reports. Another task of its cluster answers it, and says nothing of its
    own. One that is not in the cluster, as an evaluator may be, reports on its own machine.

    Args:
        config: The TF_CONFIG; None for this machine alone.
        folder: Where checkpoints go.
        timeout_s: How long the chief waits for the other tasks, and they for it.
        most_links: How many links are measured at most.
        firewalled: Whether the user vouches for a firewall around the job's hosts.
        as_json: Whether the report is JSON instead of tables.
    """
    try:
        raise_on_signals()
        facts = machine.look(config, (folder, tempfile.gettempdir()))
        if config is None or not config.cluster.addresses(config.task.type):
            observed = Observed(spec=ClusterSpec(), answers={facts.label: Answer(facts=facts)})
        else:
            listener, facts = _listen(config, facts)
            if config.task.type != "chief":
                return attend(config, facts, listener, timeout_s=timeout_s)
            observed = gather(config, facts, listener, timeout_s=timeout_s, most_links=most_links)
    except SignalReceived as received:
        return received.code
    findings = checks.judge(observed, supported=versions.supported(), firewalled=firewalled)
    with contextlib.suppress(BrokenPipeError):
        if as_json:
            print(report.as_json(observed, findings))
        else:
            report.show(observed, findings, sys.stdout)
    return RED if worst(findings) is Level.RED else 0


def _listen(config: TFConfig, facts: Facts) -> tuple[socket.socket | None, Facts]:
    """Take the task's port; note why when it cannot be had."""
    address = config.cluster.address(config.task)
    try:
        listener = answering.listen(address)
    except OSError as error:
        fault = answering.port_fault(address, error)
        say(f"{config.task} cannot listen at {address}: {fault}.")
        return None, dataclasses.replace(facts, port_fault=fault)
    if config.task.type != "chief":
        say(f"{config.task} answers at {address} until the chief has its report.")
    return listener, facts
