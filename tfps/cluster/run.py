"""Run one script on every task of a job: one trains, others serve, some evaluate."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn, Protocol, TypeVar

from tfps.cluster import rendezvous
from tfps.cluster.server import CHIEF_GONE, serve_and_exit
from tfps.cluster.signals import SignalReceived, end_on_sigterm_as_init, raise_on_signals
from tfps.cluster.spec import ClusterSpec
from tfps.cluster.tf_config import TFConfig
from tfps.errors import ChiefGoneError, TaskTypeError

T = TypeVar("T")


class Evaluator(Protocol):
    """What an evaluator task runs; `tfps.SidecarEvaluator` is one."""

    def start(self, is_over: Callable[[], bool], /) -> None:
        """Evaluate until the training is over and nothing is left, then return."""


def run(
    train: Callable[[], T],
    evaluate: Callable[[], Evaluator] | None = None,
    *,
    chief_timeout_s: float = 300.0,
    start_timeout_s: float = 600.0,
    evaluator_timeout_s: float = 600.0,
) -> T:
    """Train on the chief, evaluate on an evaluator, serve on the others, as TF_CONFIG says.

    Without TF_CONFIG, `train` runs at once: its strategy makes a cluster inside the process. On the
    chief it runs when every worker and ps is there; when it has returned (or called
    `sys.exit(0)`), evaluators evaluate what is left, and then all others are told to end, so all
    that needs the cluster belongs in `train`. When it raises, they stay for a restarted chief. On
    the other tasks the call does not return: a worker or ps ends with `serve`'s exit code, and an
    evaluator with the same ones.

    Args:
        train: What the chief does.
        evaluate: Returns what an evaluator does; called there only. The chief needs it to know
            whether evaluators that TF_CONFIG lists will come.
        chief_timeout_s: A worker, ps or evaluator ends when it has found the chief gone for this
            long.
        start_timeout_s: The chief gives up when workers or ps are still missing after this long.
        evaluator_timeout_s: The chief waits this long at most for evaluators, at the end.

    Returns:
        What `train` returned.

    Raises:
        TFConfigError: TF_CONFIG has faults; all of them are listed.
        ClusterTimeoutError: Tasks were missing for `start_timeout_s` seconds.
        TaskTypeError: This process is an evaluator, and `evaluate` is not given.
    """
    config = TFConfig.from_environment()
    if config is None:
        return train()
    if config.task.type in ("worker", "ps"):
        serve_and_exit(config, chief_timeout_s=chief_timeout_s)
    if config.task.type == "evaluator":
        if evaluate is None:
            raise TaskTypeError(
                f"TF_CONFIG: task {config.task} has nothing to run. Pass tfps.run a function that "
                "returns a tfps.SidecarEvaluator, as tfps.run(train, evaluate), or leave the "
                "evaluator out of the job."
            )
        _evaluate_and_exit(evaluate, config, chief_timeout_s)
    end_on_sigterm_as_init()
    rendezvous.wait_for_tasks(config.cluster, timeout_s=start_timeout_s)
    try:
        result = train()
    except SystemExit as ending:
        if not ending.code:
            _end_job(config.cluster, evaluate is not None, evaluator_timeout_s)
        raise
    _end_job(config.cluster, evaluate is not None, evaluator_timeout_s)
    return result


def _evaluate_and_exit(
    evaluate: Callable[[], Evaluator], config: TFConfig, chief_timeout_s: float
) -> NoReturn:
    code = 0
    try:
        raise_on_signals()
        from tfps.cluster import evaluators  # Imports TensorFlow.

        with evaluators.Presence(config, chief_timeout_s=chief_timeout_s) as presence:
            evaluate().start(presence.is_over)
    except ChiefGoneError as error:
        print(f"tfps: {config.task} ends: {error}", file=sys.stderr)
        code = CHIEF_GONE
    except SignalReceived as received:
        code = received.code
    sys.stdout.flush()
    sys.stderr.flush()
    # A call to a ps that is gone may still be under way; the interpreter would wait for it.
    os._exit(code)


def _end_job(cluster: ClusterSpec, has_evaluate: bool, evaluator_timeout_s: float) -> None:
    from tfps.cluster import ending, evaluators  # Import TensorFlow.

    listed = [task for task, _ in cluster if task.type == "evaluator"]
    evaluators.wait_for_evaluators(
        cluster,
        # Those that have nothing to run do not come.
        expected=listed if has_evaluate else (),
        timeout_s=evaluator_timeout_s,
    )
    ending.tell_tasks_to_end(cluster)
