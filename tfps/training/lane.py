"""The way of what the chief reads to a worker.

Each worker has a staging area, into which the chief puts groups before they are needed, and an
iterator that makes batches of them. The iterator looks there again and again: an op that waited for
a group, as that of a tf.queue, would crash its process if the iterator were deleted meanwhile.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import math
import threading
import time
from typing import Any

import numpy as np
import tensorflow as tf

from tfps.params.placement import CHIEF_DEVICE
from tfps.training.reader import num_strings
from tfps.training.sources import from_serialized
from tfps.training.split import unconverted

AHEAD_S = 0.05  # a worker has groups for at least so long
_MOST_AHEAD = 64  # more groups than in its next dispatch
_PAUSES_MS = (1, 10)  # before a worker that has no group looks again: at first, and at the most
_LOOKS = 50  # before the pause is 1 ms longer


@dataclasses.dataclass(frozen=True)
class Group:
    """What a batch is made of.

    Attributes:
        epoch: the epoch that it was read in.
        number: its number in the epoch.
        worker: the worker that is to get it; None is any.
        packed: its tensors, as strings.
    """

    epoch: int
    number: int
    worker: int | None
    packed: list[bytes]

    @property
    def num_bytes(self) -> int:
        """Its size."""
        return sum(map(len, self.packed))


class Lane:
    """The way of groups to one worker.

    Only the threads of the worker use it, under its device.

    Attributes:
        filling: is held while groups are read and put in.
        lock: is held while `given` changes.
        changed: is notified when the worker may want more groups.
        kept: groups that are to be put in, and that no other worker gets.
        given: the groups that the worker has, and of whose steps nothing is known.
        steps: how many are in a dispatch.
        in_flight: how many are in the dispatch that runs.
        is_connected: whether what it has is known.
        iterator: its batches.
        connections: how often it was connected.
    """

    def __init__(self) -> None:
        self.filling = threading.RLock()
        self.lock = threading.Lock()
        self.changed = threading.Condition()
        self.kept: collections.deque[Group] = collections.deque()
        self.given: collections.deque[Group] = collections.deque()
        self.steps = self.in_flight = 0
        self.is_connected = False
        self.iterator: Any = None
        self.connections = 0
        self._area = ""
        self._step_s = AHEAD_S
        self._counted_at = 0.0

    @property
    def wanted(self) -> int:
        """The number of groups that it should have: for two dispatches, and for some time."""
        return 2 * self.steps + min(_MOST_AHEAD, int(AHEAD_S / self._step_s))

    @property
    def oldest(self) -> float:
        """The number of the oldest group of the dispatch that runs; infinite without one."""
        with self.lock:
            groups = itertools.islice(self.given, self.in_flight)
            return min((group.number for group in groups), default=math.inf)

    def count(self, batches: int) -> None:
        """Note that the steps of so many batches have ended."""
        now = time.perf_counter()
        if batches and self._counted_at:
            self._step_s = max((now - self._counted_at) / batches, 1e-6)
        self._counted_at = now

    def connect(self, area: str, graph: bytes, spec: Any) -> None:
        """Have an iterator on the worker.

        Args:
            area: the name of the staging area that it reads: another one each time, as an iterator
                of before may live on for a while.
            graph: the serialised dataset of batches.
            spec: the type of a batch.
        """
        if self.connections:
            self.clear()
        self.connections += 1
        self._area = area
        self.iterator = iter(from_serialized(graph, spec))
        self.is_connected = True

    def put(self, groups: list[Group]) -> None:
        """Send groups to the worker."""
        with tf.device(CHIEF_DEVICE):
            message = tf.constant(np.array([group.packed for group in groups], object))
        try:
            tf.raw_ops.Stage(values=[message], shared_name=self._area)
        except BaseException:
            self.is_connected = False
            raise
        with self.lock:
            self.given.extend(groups)

    def clear(self) -> None:
        """Empty the staging area on the worker."""
        tf.raw_ops.StageClear(dtypes=[tf.string], shared_name=self._area)


def staged(name: str, spec: Any) -> tf.data.Dataset:
    """Return an endless dataset of the packed groups in a staging area of the task that reads it.

    Args:
        name: the name of the area.
        spec: the type of a group.
    """
    area: dict[str, Any] = {"dtypes": [tf.string], "shared_name": name}
    # Counts the looks since the last group by what is in it: a map keeps no state of its own.
    looks: dict[str, Any] = {"dtypes": [tf.bool], "shared_name": f"{name}_looks"}
    shape = [None, num_strings(spec)]
    first, most = _PAUSES_MS

    def take() -> tf.Tensor:
        with tf.control_dependencies([tf.raw_ops.StageClear(**looks)]):
            return tf.raw_ops.Unstage(**area)[0]

    def pause() -> tf.Tensor:
        pause_ms = first + tf.raw_ops.StageSize(**looks) // _LOOKS

        def count() -> tf.Operation:
            return tf.raw_ops.Stage(values=[tf.constant(True)], shared_name=looks["shared_name"])

        counted = tf.cond(pause_ms < most, count, tf.no_op)
        variant = tf.raw_ops.SleepDataset(
            input_dataset=tf.data.experimental.to_variant(tf.data.Dataset.range(1)),
            sleep_microseconds=1000 * tf.cast(pause_ms, tf.int64),
            output_types=[tf.int64],
            output_shapes=[[]],
        )
        slept = tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.int64))
        with tf.control_dependencies([counted]):
            return tf.zeros([slept.get_single_element(), shape[1]], tf.string)

    def look(_: tf.Tensor) -> tf.Tensor:
        message = tf.cond(tf.raw_ops.StageSize(**area) > 0, take, pause)
        return tf.ensure_shape(message, shape)

    return tf.data.Dataset.range(1).repeat().map(unconverted(look)).unbatch()
