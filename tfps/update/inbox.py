"""The inbox of a ps: where pushes wait for it, and its answers for the workers."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfps import _tensorflow
from tfps.params.placement import ps_device
from tfps.worker import worker_local

Contents = tuple[tf.TensorSpec, ...]
"""What a push brings, besides its header."""


class Kind(enum.IntEnum):
    """What an entry in the inbox is."""

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
    """There will be nothing more."""


class Inbox:
    """A queue of pushes on one ps, and a queue of answers for each worker.

    An entry is put into the queue whole or not at all, and only the ps takes it out: a worker that
    is lost leaves no half of one behind.
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
        """Let the chief know that an entry of it was dealt with; traced on the ps."""
        self._receipts.enqueue(True)

    def wait_for_receipt(self) -> None:
        """Wait until the ps has confirmed; on the chief."""
        with tf.device(ps_device(self.ps)):
            self._receipts.dequeue().numpy()

    def name_late(self, workers: tf.Tensor) -> None:
        """Answer who is late: bool, of shape `(W,)`; traced on the ps."""
        self._late.enqueue(workers)

    def wait_for_late(self) -> list[int]:
        """Wait until the ps has answered who is late; on the chief."""
        with tf.device(ps_device(self.ps)):
            return [int(worker) for worker in np.flatnonzero(self._late.dequeue().numpy())]

    def close(self) -> None:
        """Have all fail that wait for an answer, and all that push; on the chief."""
        with tf.device(ps_device(self.ps)):
            self._entries.close(cancel_pending_enqueues=True)
            self._receipts.close()
            self._late.close()
        self.answers.close()


class Answers:
    """A ps's answers to the workers: each is told what its next step starts with, as it may."""

    def __init__(self, ps: int, workers: int) -> None:
        """Make a queue for each worker on the ps of an index."""
        self.ps = ps
        with tf.init_scope(), tf.device(ps_device(ps)):
            self._queues = [tf.queue.FIFOQueue(8, [tf.int64], [[]]) for _ in range(workers)]

    def give(self, workers: tf.Tensor, told: tf.Tensor) -> None:
        """Let those workers, bool of shape `(W,)`, start; traced on the ps.

        Args:
            workers: who may start.
            told: what each of them is told, int64 of shape `(W,)`.
        """
        for worker, answers in enumerate(self._queues):
            one = told[worker]
            tf.cond(workers[worker], lambda q=answers, t=one: q.enqueue(t), tf.no_op)

    def forget(self, workers: tf.Tensor) -> None:
        """Take away what those workers, bool of shape `(W,)`, have not read; traced on the ps."""
        for worker, answers in enumerate(self._queues):
            tf.cond(workers[worker], lambda q=answers: _drain(q), tf.no_op)

    def prepare(self) -> None:
        """Prepare for a trace; to be called at the top of a worker's function."""
        self._handle = _tensorflow.capture_at_call(
            lambda: self._queues[worker_local.index()].queue_ref, tf.TensorSpec([], tf.resource)
        )

    def read(self) -> tf.Tensor:
        """Wait for the answer to this worker; in its function, on the ps: int64, scalar."""
        with tf.device(ps_device(self.ps)):
            (told,) = tf.raw_ops.QueueDequeueV2(handle=self._handle, component_types=[tf.int64])
        told.set_shape([])
        return told

    def close(self) -> None:
        """Have all fail that wait for an answer; on the chief."""
        for answers in self._queues:
            with tf.device(ps_device(self.ps)):
                answers.close()


def empty(contents: Contents) -> list[tf.Tensor]:
    """Return tensors of no meaning; of an unknown dimension there is nothing."""
    return [tf.zeros([size or 0 for size in spec.shape], spec.dtype) for spec in contents]


def _drain(answers: tf.queue.FIFOQueue) -> tf.Operation:
    with tf.control_dependencies([answers.dequeue_many(answers.size())]):
        return tf.no_op()
