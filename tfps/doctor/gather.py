"""The chief: it waits for the tasks, has all measured, and tells the tasks to end."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping

from tfps.cluster.spec import ClusterSpec, Task
from tfps.cluster.tf_config import TFConfig
from tfps.doctor import arrivals, calls, examine, measure
from tfps.doctor.answering import Answering
from tfps.doctor.facts import Facts
from tfps.doctor.faults import Fault
from tfps.doctor.observed import Answer, Observed
from tfps.doctor.reports import Reports


def gather(
    config: TFConfig,
    facts: Facts,
    listener: socket.socket | None,
    *,
    timeout_s: float,
    most_links: int,
) -> Observed:
    """Ask and measure what is to be known of the job, and tell the other tasks to end.

    Args:
        config: The cluster; this process is its chief.
        facts: What the chief says of itself.
        listener: Listens at its address; None when that port cannot be had.
        timeout_s: How long to wait for tasks.
        most_links: How many links to measure at most.
    """
    reports = Reports()
    spec, chief = config.cluster, config.task
    others = [task for task, _ in spec if task != chief]
    answers = {chief: Answer(facts=facts)}
    replies = {"ping": measure.tell_clock, "give": measure.give, "report": reports.hold}
    with contextlib.ExitStack() as stack:
        if listener is not None:
            stack.enter_context(Answering(listener, replies, num_tasks=len(others)))
        try:
            outcomes = arrivals.wait(spec, others, reports, timeout_s=timeout_s)
            answers |= {task: one for task, one in outcomes.items() if isinstance(one, Answer)}
            missing = {task: one for task, one in outcomes.items() if isinstance(one, Fault)}
            told = {task: Answer(facts=one.facts) for task in missing if (one := reports.of(task))}
            observed = Observed(spec=spec, answers=_by_label(spec, answers | told), missing=missing)
            return examine.examine(observed, list(answers), most_links=most_links)
        finally:
            # One that cannot call the chief hears of the end in no other way.
            calls.at_once(lambda task: calls.tell_end(spec, task), answers.keys() - {chief})
            reports.end()


def _by_label(spec: ClusterSpec, answers: Mapping[Task, Answer]) -> dict[str, Answer]:
    return {str(task): answers[task] for task, _ in spec if task in answers}
