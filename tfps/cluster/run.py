"""Run one script on every task of a job: the chief trains, workers and ps serve."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tfps.cluster import rendezvous
from tfps.cluster.server import serve_and_exit
from tfps.cluster.spec import ClusterSpec
from tfps.cluster.tf_config import TFConfig
from tfps.errors import TaskTypeError

T = TypeVar("T")


def run(
    train: Callable[[], T], *, chief_timeout_s: float = 300.0, start_timeout_s: float = 600.0
) -> T:
    """Train on the chief and serve on a worker or ps, as TF_CONFIG says.

    Without TF_CONFIG, `train` runs at once: its strategy makes a cluster inside the process. On the
    chief it runs when every worker and ps is there; when it has returned (or called
    `sys.exit(0)`), they are told to end, so all that needs the cluster belongs in `train`. When it
    raises, they stay for a restarted chief. On a worker or ps the call does not return: the process
    ends with `serve`'s exit code.

    Args:
        train: What the chief does.
        chief_timeout_s: A worker or ps ends when it has found the chief gone for this long.
        start_timeout_s: The chief gives up when tasks are still missing after this long.

    Returns:
        What `train` returned.

    Raises:
        TFConfigError: TF_CONFIG has faults; all of them are listed.
        ClusterTimeoutError: Tasks were missing for `start_timeout_s` seconds.
        TaskTypeError: This process is an evaluator.
    """
    config = TFConfig.from_environment()
    if config is None:
        return train()
    if config.task.type in ("worker", "ps"):
        serve_and_exit(config, chief_timeout_s=chief_timeout_s)
    if config.task.type == "evaluator":
        raise TaskTypeError(
            f"TF_CONFIG: task {config.task} has nothing to run: tfps.run trains on the chief and "
            "serves on a worker or ps. Pass validation_data to fit on the chief, and leave the "
            "evaluator out of the job."
        )
    return _train_on_cluster(train, config.cluster, start_timeout_s)


def _train_on_cluster(train: Callable[[], T], cluster: ClusterSpec, start_timeout_s: float) -> T:
    rendezvous.wait_for_tasks(cluster, timeout_s=start_timeout_s)
    try:
        result = train()
    except SystemExit as ending:
        if not ending.code:
            _tell_tasks_to_end(cluster)
        raise
    _tell_tasks_to_end(cluster)
    return result


def _tell_tasks_to_end(cluster: ClusterSpec) -> None:
    from tfps.cluster import ending  # Imports TensorFlow.

    ending.tell_tasks_to_end(cluster)
