"""A small cluster inside this process, for a script or notebook without TF_CONFIG."""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING

from tfps.cluster import addresses
from tfps.cluster.spec import ClusterSpec
from tfps.errors import EmbeddedClusterError

if TYPE_CHECKING:
    import tensorflow as tf

# All servers of a process, and the chief, share one pool of inter-op threads. A running step holds
# some of them while it waits for another task, which needs threads as well. With too few (4 for 4
# workers, or the default of two cores for 2) the first step hangs.
_INTER_OP_THREADS_PER_TASK = 4
_INTRA_OP_THREADS = 1
_DEFAULT_TASKS = 2

_lock = threading.Lock()
_running: _Cluster | None = None


@dataclasses.dataclass(frozen=True)
class _Cluster:
    spec: ClusterSpec
    # TensorFlow stops a server when its object is deleted.
    servers: tuple[tf.distribute.Server, ...]


def embedded_cluster(num_ps: int | None = None, num_workers: int | None = None) -> ClusterSpec:
    """Return the spec of this process's embedded cluster; the first call starts it.

    All strategies of a process share one cluster: TensorFlow's context connects to one cluster,
    and connecting it to another (even to fewer tasks of the same one) destroys all variables.

    Args:
        num_ps: Number of ps, at least 1. None takes the running cluster's, or else 2.
        num_workers: Number of workers, at least 1. None takes the running cluster's, or else 2.

    Returns:
        The addresses of the workers and ps. The chief is not listed: it takes any free port.

    Raises:
        EmbeddedClusterError: A number is below 1, or differs from the running cluster's.
    """
    global _running
    if any(number is not None and number < 1 for number in (num_ps, num_workers)):
        raise EmbeddedClusterError(
            f"An embedded cluster needs at least 1 ps and 1 worker, not {num_ps} and {num_workers}."
        )
    with _lock:
        if _running is None:
            _running = _start(num_ps or _DEFAULT_TASKS, num_workers or _DEFAULT_TASKS)
        _check_size(_running.spec, num_ps, num_workers)
        return _running.spec


def _check_size(spec: ClusterSpec, num_ps: int | None, num_workers: int | None) -> None:
    if num_ps in (None, len(spec.ps)) and num_workers in (None, len(spec.worker)):
        return
    raise EmbeddedClusterError(
        f"This process already runs an embedded cluster of {len(spec.ps)} ps and "
        f"{len(spec.worker)} workers, which all its strategies share; it cannot have one of "
        f"{num_ps or len(spec.ps)} ps and {num_workers or len(spec.worker)} workers beside it. "
        "Leave the numbers out to use the one that runs, or start a new process."
    )


def _start(num_ps: int, num_workers: int) -> _Cluster:
    hosts = [f"{addresses.LOOPBACK}:{port}" for port in addresses.free_ports(num_ps + num_workers)]
    spec = ClusterSpec(ps=tuple(hosts[:num_ps]), worker=tuple(hosts[num_ps:]))
    import tensorflow as tf

    config = tf.compat.v1.ConfigProto(
        inter_op_parallelism_threads=_INTER_OP_THREADS_PER_TASK * (num_ps + num_workers),
        intra_op_parallelism_threads=_INTRA_OP_THREADS,
        gpu_options=tf.compat.v1.GPUOptions(allow_growth=True),
    )
    servers = tuple(
        tf.distribute.Server(
            spec.as_dict(), job_name=task.type, task_index=task.index, config=config
        )
        for task, _ in spec
    )
    return _Cluster(spec, servers)
