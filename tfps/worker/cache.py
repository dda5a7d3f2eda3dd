"""The cache: parameters on which a worker computes several steps before it pulls them again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfps.transport.pull import Pull, Versions
from tfps.worker.per_worker import WorkerVariables
from tfps.worker.replica import Replica

KEEP = -1
"""A gate's answer to a worker whose next step computes on the cache."""


class Cache:
    """The pulled values of each worker. Its own gradients update them until it pulls again."""

    def __init__(self, replica: Replica, versions: Sequence[tuple[Any, int]]) -> None:
        """Describe the cache.

        Args:
            replica: holds the values.
            versions: the versions to keep: for each, the effect and the index of the ps.
        """
        self._replica = replica
        self._versions = list(versions)
        self._numbers = WorkerVariables(self._make)

    def prepare(self) -> None:
        """Prepare for a trace; to be called at the top of a worker's function."""
        self._numbers.prepare()

    def pull(self, answer: tf.Tensor, pull: Callable[[], Pull], rows: Pull) -> Pull:
        """Return the parameters of a step: pulled if the gate wants it, else cached.

        Args:
            answer: the gate's answer, int64: `KEEP`, or, if the worker is to pull, the number of
                steps by which it is ahead of the slowest worker.
            pull: pulls the cached parameters.
            rows: the rows, which are pulled in each step.
        """

        def pull_again() -> tuple[tf.Tensor, tf.Tensor]:
            pulled = pull()
            self._replica.write(pulled.whole)
            versions = [pulled.start_versions[effect][ps] for effect, ps in self._versions]
            for index, number in enumerate([answer, tf.zeros_like(answer), *versions]):
                self._numbers.write(index, number)
            return pulled.received_bytes, pulled.sent_bytes

        def keep() -> tuple[tf.Tensor, tf.Tensor]:
            self._numbers.write(1, self._steps + 1)
            return tf.zeros_like(rows.received_bytes), tf.zeros_like(rows.sent_bytes)

        received, sent = tf.cond(tf.equal(answer, KEEP), keep, pull_again)
        return dataclasses.replace(
            rows,
            whole=self._replica.read(),
            received_bytes=rows.received_bytes + received,
            sent_bytes=rows.sent_bytes + sent,
            start_versions=self._start_versions(),
        )

    @property
    def age(self) -> tf.Tensor:
        """The number of steps by which the cache may lag behind its worker, int64."""
        return self._numbers.read(0, tf.int64, []) + self._steps

    @property
    def _steps(self) -> tf.Tensor:
        """The number of steps that the worker has computed on the cache, int64."""
        return self._numbers.read(1, tf.int64, [])

    def _start_versions(self) -> Mapping[Any, Versions]:
        versions: dict[Any, dict[int, tf.Tensor]] = {effect: {} for effect, _ in self._versions}
        for index, (effect, ps) in enumerate(self._versions, start=2):
            # The updates that the worker itself made since then are in the cache.
            versions[effect][ps] = self._numbers.read(index, tf.int64, []) + self._steps
        return versions

    def _make(self) -> list[tf.Variable]:
        zero = tf.zeros([], tf.int64)
        return [tf.Variable(zero, trainable=False) for _ in range(2 + len(self._versions))]
