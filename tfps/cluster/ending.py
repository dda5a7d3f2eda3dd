"""The chief's normal end: how it reaches the tasks that serve it.

Each serving task keeps a queue in its TensorFlow server and waits for an element. The chief puts
one there through the same server, so that no further port and no shared file is needed. Both sides
use a graph session of their own, which works whether or not the chief ever made a strategy.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time

import tensorflow as tf

from tfps.cluster import addresses
from tfps.cluster.spec import ClusterSpec, Task

_QUEUE = "tfps_end"


def tell_tasks_to_end(spec: ClusterSpec, *, timeout_s: float = 10.0) -> tuple[Task, ...]:
    """Tell every worker and ps that the chief has ended normally.

    All of them are told at the same time, and the call returns within about `timeout_s` whatever
    state they are in. A task that could not be told is named on standard error; it ends by its own
    chief timeout.

    Returns:
        The tasks that were told.
    """
    told: list[Task] = []
    # Not daemons: a thread that is still inside TensorFlow when the interpreter goes aborts the
    # process. Half of the time for one call: a server that is just starting is slow to answer.
    threads = [
        threading.Thread(target=_tell, args=(task, address, timeout_s / 2, told))
        for task, address in spec.serving()
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    reached = tuple(task for task, _ in spec.serving() if task in told)
    missed = [f"{task} ({address})" for task, address in spec.serving() if task not in reached]
    if missed:
        print(
            f"tfps: could not tell {', '.join(missed)} that the training is over; "
            "each ends when it has found the chief gone for its --chief-timeout-s.",
            file=sys.stderr,
            flush=True,
        )
    return reached


def wait_until_told(server: tf.distribute.Server, task: Task) -> None:
    """Block until the chief tells this process's task to end.

    Args:
        server: The task's own server.
        task: Which task the server is.
    """
    graph, queue = _queue_of(task)
    with graph.as_default():
        told = queue.dequeue()
    with tf.compat.v1.Session(server.target, graph=graph, config=only(task)) as session:
        session.run(told)


def _tell(task: Task, address: str, timeout_s: float, told: list[Task]) -> None:
    # A session waits out its whole timeout on an address where nobody listens; this does not.
    if not addresses.accepts_connections(address):
        return
    graph, queue = _queue_of(task)
    with graph.as_default():
        tell = queue.enqueue("end")
    config = only(task)
    config.operation_timeout_in_ms = int(timeout_s * 1000)
    # The caller names a task that was not told. One that was may be gone before the session closes.
    with contextlib.suppress(tf.errors.OpError):
        session = tf.compat.v1.Session(f"grpc://{address}", graph=graph, config=config)
        session.run(tell)
        told.append(task)
        session.close()


def _queue_of(task: Task) -> tuple[tf.Graph, tf.queue.FIFOQueue]:
    graph = tf.Graph()
    with graph.as_default(), tf.device(f"/job:{task.type}/task:{task.index}/device:CPU:0"):
        # Room for many: a chief that tells twice must not wait for a task that has ended.
        queue = tf.queue.FIFOQueue(1024, [tf.string], shapes=[()], shared_name=_QUEUE)
    return graph, queue


def only(task: Task) -> tf.compat.v1.ConfigProto:
    """Return the configuration of a session with the server of one task.

    Without its filter the session first waits for every other task of the server's cluster.
    """
    return tf.compat.v1.ConfigProto(device_filters=[f"/job:{task.type}/task:{task.index}"])
