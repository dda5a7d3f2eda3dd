"""Run one script on every task of a job: the chief trains, others serve or evaluate."""

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
from tfps.log import say

T = TypeVar("T")


class Evaluator(Protocol):
    """What an evaluator task runs; `tfps.SidecarEvaluator` is one."""

    def start(self, is_over: Callable[[], bool], /) -> None:
        """Evaluate until the training is over and all checkpoints are done, then return."""


def run(
    train: Callable[[], T],
    evaluate: Callable[[], Evaluator] | None = None,
    *,
    chief_timeout_s: float = 300.0,
    start_timeout_s: float = 600.0,
    evaluator_timeout_s: float = 600.0,
) -> T:
    """Do this task's part of the job: TF_CONFIG says whether it trains, evaluates or serves.

    Without TF_CONFIG, `train` runs at once, and its strategy starts a cluster inside the process.

    On the chief, `train` runs as soon as every worker and ps listens. When it has returned (or
    called `sys.exit(0)`), the chief waits for the evaluators to evaluate the remaining checkpoints,
    and then tells the other tasks to end. Everything that needs the cluster therefore belongs in
    `train`. If `train` raises, the other tasks keep running for a restarted chief.

    On the other tasks the call does not return. Workers, ps and evaluators end with the exit codes
    of `serve`.

    Args:
        train: Called on the chief.
        evaluate: Called on an evaluator only; returns what the evaluator runs. The chief uses it to
            know whether the evaluators that TF_CONFIG lists will take part.
        chief_timeout_s: A worker, ps or evaluator ends when the chief has been gone for this long.
        start_timeout_s: The chief gives up if workers or ps are still missing after this long.
        evaluator_timeout_s: At the end, the chief waits for evaluators at most this long.

    Returns:
        What `train` returned.

    Raises:
        TFConfigError: TF_CONFIG has faults; the message lists all of them.
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
    except SystemExit as exit_request:
        if not exit_request.code:
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
        from tfps._tensorflow import find_devices
        from tfps.cluster import evaluators  # Imports TensorFlow.

        find_devices()

        with evaluators.Presence(config, chief_timeout_s=chief_timeout_s) as presence:
            evaluate().start(presence.is_over)
    except ChiefGoneError as error:
        say(f"{config.task} ends: {error}")
        code = CHIEF_GONE
    except SignalReceived as received:
        code = received.code
    sys.stdout.flush()
    sys.stderr.flush()
    # The interpreter would wait for a call to a ps that is gone.
    os._exit(code)


def _end_job(cluster: ClusterSpec, has_evaluate: bool, evaluator_timeout_s: float) -> None:
    from tfps.cluster import ending, evaluators  # Import TensorFlow.

    listed = [task for task, _ in cluster if task.type == "evaluator"]
    evaluators.wait_for_evaluators(
        cluster,
        # An evaluator without `evaluate` has nothing to run, and never announces itself.
        expected=listed if has_evaluate else (),
        timeout_s=evaluator_timeout_s,
    )
    ending.tell_tasks_to_end(cluster)
