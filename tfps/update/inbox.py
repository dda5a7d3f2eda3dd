"""The inbox of a ps, a queue of pushes; and the queues of its answers to the workers."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfps import _tensorflow
from tfps.params.placement import ps_device
from tfps.worker import per_worker

Contents = tuple[tf.TensorSpec, ...]
"""The types of the tensors of a push, its header left out."""


class Kind(enum.IntEnum):
    """The kind of an entry in the inbox."""

    GRADIENT = 0
    """A worker pushes a gradient, and asks for its next step."""
    NOTHING = 1
    """A worker has no gradient this time, and asks for its next step."""
    JOINED = 2
    """A worker takes part, and asks for its first step."""
    LEFT = 3
    """A worker no longer takes part."""
    CHECK = 4
    """The chief asks who is late."""
    END = 5
    """No more entries will come."""


class Inbox:
    """A queue of pushes on one ps.

    An entry is enqueued whole or not at all, and only the ps dequeues it: a worker that dies leaves
    no half of an entry behind.
    """

    def __init__(self, ps: int, workers: int, contents: Contents, answers: Answers) -> None:
        """Make the queues on the ps of an index.

        Args:
            ps: the index of the ps.
            workers: how many workers there are.
            contents: what each entry brings.
            answers: where the ps answers.
        """
        self.ps = ps
        self.workers = workers
        self.contents = contents
        self.answers = answers
        dtypes = [tf.int64, *(spec.dtype for spec in contents)]
        with tf.init_scope(), tf.device(ps_device(ps)):
            self._entries = tf.queue.FIFOQueue(4 * workers + 4, dtypes)
            self._receipts = tf.queue.FIFOQueue(1, [tf.bool], [[]])
            self._late = tf.queue.FIFOQueue(1, [tf.bool], [[workers]])

    def put(self, header: tf.Tensor, tensors: Sequence[tf.Tensor]) -> tf.Operation:
        """Put an entry in; traced in a worker's function.

        Args:
            header: `(kind, worker, version)`, int64, on the ps.
            tensors: the contents, on the ps.
        """
        with tf.device(ps_device(self.ps)):
            return self._entries.enqueue([header, *tensors])

    def put_empty(self, header: tf.Tensor) -> tf.Operation:
        """Put an entry in that brings nothing; traced in a worker's function, or on the chief."""
        with tf.device(ps_device(self.ps)):
            return self.put(header, empty(self.contents))

    def tell(self, kind: Kind, worker: int = 0) -> None:
        """Put an entry of the chief in; to be called on the chief."""
        with tf.device(ps_device(self.ps)):
            self.put_empty(tf.constant([kind, worker, 0], tf.int64))

    def take(self) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Take an entry out, once there is one: its header and its contents; traced on the ps."""
        header, *tensors = tf.raw_ops.QueueDequeueV2(
            handle=self._entries.queue_ref, component_types=self._entries.dtypes
        )
        header.set_shape([3])
        for tensor, spec in zip(tensors, self.contents, strict=True):
            tensor.set_shape(spec.shape)
        return header, tensors

    def confirm(self) -> None:
        """Confirm to the chief that its entry was processed; traced on the ps."""
        self._receipts.enqueue(True)

    def wait_for_receipt(self) -> None:
        """Wait until the ps confirms the chief's entry; on the chief."""
        with tf.device(ps_device(self.ps)):
            self._receipts.dequeue().numpy()

    def name_late(self, workers: tf.Tensor) -> None:
        """Tell the chief which workers are late: bool, of shape `(W,)`; traced on the ps."""
        self._late.enqueue(workers)

    def wait_for_late(self) -> list[int]:
        """Wait for the ps, and return the indices of the late workers; on the chief."""
        with tf.device(ps_device(self.ps)):
            return [int(worker) for worker in np.flatnonzero(self._late.dequeue().numpy())]

    def close(self) -> None:
        """Close all queues: whoever waits at one, or pushes, gets an error; on the chief."""
        with tf.device(ps_device(self.ps)):
            self._entries.close(cancel_pending_enqueues=True)
            self._receipts.close()
            self._late.close()
        self.answers.close()


class Answers:
    """A ps's answers to the workers: what its next step starts with, once it may."""

    def __init__(self, ps: int, workers: int) -> None:
        """Make a queue for each worker on the ps of an index."""
        self.ps = ps
        with tf.init_scope(), tf.device(ps_device(ps)):
            self._queues = [tf.queue.FIFOQueue(8, [tf.int64], [[]]) for _ in range(workers)]

    def give(self, workers: tf.Tensor, answer: tf.Tensor) -> None:
        """Let some workers start a step; traced on the ps.

        Args:
            workers: the workers that may start, bool of shape `(W,)`.
            answer: the answer to each of them, int64 of shape `(W,)`.
        """
        for worker, answers in enumerate(self._queues):
            one = answer[worker]
            tf.cond(workers[worker], lambda q=answers, t=one: q.enqueue(t), tf.no_op)

    def forget(self, workers: tf.Tensor) -> None:
        """Discard the unread answers to workers, bool of shape `(W,)`; traced on the ps."""
        for worker, answers in enumerate(self._queues):
            tf.cond(workers[worker], lambda q=answers: _drain(q), tf.no_op)

    def prepare(self) -> None:
        """Prepare for a trace; to be called at the top of a worker's function."""
        self._handle = _tensorflow.capture_at_call(
            lambda: self._queues[per_worker.index()].queue_ref, tf.TensorSpec([], tf.resource)
        )

    def read(self) -> tf.Tensor:
        """Wait for the answer to this worker; in its function, on the ps: int64, scalar."""
        with tf.device(ps_device(self.ps)):
            (answer,) = tf.raw_ops.QueueDequeueV2(handle=self._handle, component_types=[tf.int64])
        answer.set_shape([])
        return answer

    def put_back(self, answer: tf.Tensor) -> None:
        """Let this worker read an answer again; in its function, on the ps."""
        with tf.device(ps_device(self.ps)):
            tf.raw_ops.QueueEnqueueV2(handle=self._handle, components=[answer])

    def close(self) -> None:
        """Close the queues: whoever waits for an answer gets an error; on the chief."""
        for answers in self._queues:
            with tf.device(ps_device(self.ps)):
                answers.close()


def empty(contents: Contents) -> list[tf.Tensor]:
    """Return zeros of these types; a dimension of unknown size is 0."""
    return [tf.zeros([size or 0 for size in spec.shape], spec.dtype) for spec in contents]


def _drain(answers: tf.queue.FIFOQueue) -> tf.Operation:
    with tf.control_dependencies([answers.dequeue_many(answers.size())]):
        return tf.no_op()
