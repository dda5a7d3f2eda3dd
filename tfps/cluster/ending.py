"""How the chief tells workers and ps that it has ended normally.

Each of them keeps a queue in its TensorFlow server and waits for an element. The chief puts one
there through the same server, so that no further port and no shared file is needed. Both sides use
a separate graph session, which works even if the chief never made a strategy.
"""

from __future__ import annotations

import contextlib
import threading
import time

import tensorflow as tf

from tfps.cluster import addresses
from tfps.cluster.spec import ClusterSpec, Task
from tfps.log import say

_QUEUE = "tfps_end"


def tell_tasks_to_end(spec: ClusterSpec, *, timeout_s: float = 10.0) -> tuple[Task, ...]:
    """Tell every worker and ps that the chief has ended normally.

    All of them are told at the same time, and the call returns within about `timeout_s`, whatever
    state they are in. Tasks that could not be reached are named on standard error; they end by
    their own chief timeout.

    Returns:
        The tasks that were reached.
    """
    reached: list[Task] = []
    # Not daemons: a thread that is still inside TensorFlow when the interpreter exits aborts the
    # process. One call has half of the time: a server that is just starting is slow to answer.
    threads = [
        threading.Thread(target=_tell, args=(task, address, timeout_s / 2, reached))
        for task, address in spec.serving()
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    in_time = tuple(task for task, _ in spec.serving() if task in reached)
    missed = [f"{task} ({address})" for task, address in spec.serving() if task not in in_time]
    if missed:
        say(
            f"could not tell {', '.join(missed)} that the training is over; "
            "each ends when it has found the chief gone for its --chief-timeout-s."
        )
    return in_time


def wait_until_told(server: tf.distribute.Server, task: Task) -> None:
    """Block until the chief tells this process's task to end.

    Args:
        server: The task's own server.
        task: Which task the server is.
    """
    graph, queue = _queue_of(task)
    with graph.as_default():
        element = queue.dequeue()
    with tf.compat.v1.Session(
        server.target, graph=graph, config=single_task_config(task)
    ) as session:
        session.run(element)


def _tell(task: Task, address: str, timeout_s: float, reached: list[Task]) -> None:
    # A session would wait for its whole timeout if nobody listens at the address.
    if not addresses.accepts_connections(address):
        return
    graph, queue = _queue_of(task)
    with graph.as_default():
        tell = queue.enqueue("end")
    config = single_task_config(task)
    config.operation_timeout_in_ms = int(timeout_s * 1000)
    # The caller names tasks that were not reached. Others may end before the session closes.
    with contextlib.suppress(tf.errors.OpError):
        session = tf.compat.v1.Session(f"grpc://{address}", graph=graph, config=config)
        session.run(tell)
        reached.append(task)
        session.close()


def _queue_of(task: Task) -> tuple[tf.Graph, tf.queue.FIFOQueue]:
    graph = tf.Graph()
    with graph.as_default(), tf.device(f"/job:{task.type}/task:{task.index}/device:CPU:0"):
        # Large enough for repeats: the chief must not wait for a task that has ended.
        queue = tf.queue.FIFOQueue(1024, [tf.string], shapes=[()], shared_name=_QUEUE)
    return graph, queue


def single_task_config(task: Task) -> tf.compat.v1.ConfigProto:
    """Return the configuration of a session with the server of one task.

    Without the device filter the session would first wait for every other task of the cluster.
    """
    return tf.compat.v1.ConfigProto(device_filters=[f"/job:{task.type}/task:{task.index}"])
