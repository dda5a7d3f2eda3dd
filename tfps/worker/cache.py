"""The cache: parameters that a worker computes several steps on, before it pulls them again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfps.transport.pull import Pull, Versions
from tfps.worker.per_worker import WorkerVariables
from tfps.worker.replica import Replica

KEEP = -1
"""What a gate tells a worker whose next step computes on what was pulled before."""


class Cache:
    """What one worker has pulled; it follows the worker's own gradients until it pulls again."""

    def __init__(self, replica: Replica, versions: Sequence[tuple[Any, int]]) -> None:
        """Describe what to keep.

        Args:
            replica: the values.
            versions: which versions: for each, the effect, and the index of the ps.
        """
        self._replica = replica
        self._versions = list(versions)
        self._numbers = WorkerVariables(self._make)

    def prepare(self) -> None:
        """Prepare for a trace; to be called at the top of a worker's function."""
        self._numbers.begin()

    def pull(self, told: tf.Tensor, pull: Callable[[], Pull], rows: Pull) -> Pull:
        """Return what a step computes on; `pull` is called only where the gate wants it.

        Args:
            told: by the gate, int64: `KEEP`, or by how many steps the worker is ahead of the
                slowest, and pulls.
            pull: pulls what is kept.
            rows: what is pulled in each step.
        """

        def anew() -> tuple[tf.Tensor, tf.Tensor]:
            pulled = pull()
            self._replica.write(pulled.whole)
            versions = [pulled.start_versions[effect][ps] for effect, ps in self._versions]
            for index, number in enumerate([told, tf.zeros_like(told), *versions]):
                self._numbers.write(index, number)
            return pulled.received_bytes, pulled.sent_bytes

        def kept() -> tuple[tf.Tensor, tf.Tensor]:
            self._numbers.write(1, self._steps + 1)
            return tf.zeros_like(rows.received_bytes), tf.zeros_like(rows.sent_bytes)

        received, sent = tf.cond(tf.equal(told, KEEP), kept, anew)
        return dataclasses.replace(
            rows,
            whole=self._replica.read(),
            received_bytes=rows.received_bytes + received,
            sent_bytes=rows.sent_bytes + sent,
            start_versions=self._start_versions(),
        )

    @property
    def age(self) -> tf.Tensor:
        """By how many steps the cache may lag behind its worker's: int64."""
        return self._numbers.read(0, tf.int64, []) + self._steps

    @property
    def _steps(self) -> tf.Tensor:
        """How many steps the worker has taken on the cache, int64."""
        return self._numbers.read(1, tf.int64, [])

    def _start_versions(self) -> Mapping[Any, Versions]:
        found: dict[Any, dict[int, tf.Tensor]] = {effect: {} for effect, _ in self._versions}
        for index, (effect, ps) in enumerate(self._versions, start=2):
            # Its own updates since then are not what it lacks.
            found[effect][ps] = self._numbers.read(index, tf.int64, []) + self._steps
        return found

    def _make(self) -> list[tf.Variable]:
        zero = tf.zeros([], tf.int64)
        return [tf.Variable(zero, trainable=False) for _ in range(2 + len(self._versions))]
