"""The effect of gradients that are applied when they arrive."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from typing_extensions import override

from tfps._tensorflow import capture_at_call
from tfps.optimizer.apply import PsOptimizer
from tfps.params.placement import ps_device
from tfps.params.shards import shards
from tfps.params.variable_map import Values, VariableMap
from tfps.params.variables import traced_on, variables_on
from tfps.transport.pull import Versions
from tfps.transport.send import ReceivedPush
from tfps.update.effect import Effect, Measured
from tfps.update.ledger import STALENESS_BINS
from tfps.worker import per_worker


class AtOnce(Effect):
    """Gradients take effect when they arrive.

    Each ps counts its updates in a version of its own. On the ps of the global step, the global
    step is the version if it counts nothing but updates: it is pulled and pushed anyway.
    """

    def __init__(
        self,
        optimizer: PsOptimizer,
        num_workers: int,
        *,
        rate_scale: Callable[[tf.Tensor], tf.Tensor] | None = None,
        confirms: bool = False,
        counts_staleness: bool = True,
    ) -> None:
        """Make the counters of versions and staleness, on their ps.

        Args:
            optimizer: the optimizer.
            num_workers: how many workers there are.
            rate_scale: a function from staleness to the factor of the learning rate.
            confirms: whether a gate waits until a step's updates have been made.
            counts_staleness: whether `measured` reports the staleness that each ps counts.
        """
        super().__init__(optimizer)
        self._workers = num_workers
        self._rate_scale = rate_scale
        self._confirms = confirms
        self._counts_staleness = counts_staleness
        self._home: int | None = None
        takes_it = optimizer.counts and optimizer.steps_per_update == 1
        if takes_it and not (rate_scale or confirms):
            (shard,) = shards(optimizer.global_step)
            self._home = shard.ps
        self._versions: dict[int, tf.Variable] = {}
        self._staleness: dict[int, list[tf.Variable]] = {}
        self._histograms: dict[int, tf.Tensor] = {}
        for ps in optimizer.ps:
            with variables_on(ps):
                if ps != self._home:
                    self._versions[ps] = tf.Variable(0, dtype=tf.int64, trainable=False)
                bins = tf.zeros([STALENESS_BINS], tf.int64)
                self._staleness[ps] = [
                    tf.Variable(bins, trainable=False) for _ in range(num_workers)
                ]
        self.versioned = list(self._versions)

    @override
    def prepare(self) -> None:
        for ps, of_workers in self._staleness.items():
            own = functools.partial(_handle_of_this_worker, of_workers)
            self._histograms[ps] = capture_at_call(own, tf.TensorSpec([], tf.resource))

    @override
    def begin(self) -> Versions:
        versions = {}
        for ps, version in self._versions.items():
            with tf.device(ps_device(ps)):
                versions[ps] = version.read_value()
        return versions

    @override
    def headers(self, start: Versions, worker: tf.Tensor, counters: Values) -> dict[int, Any]:
        own = VariableMap((v, counters[v]) for v in self.optimizer.counters)
        return {ps: (own, start.get(ps)) for ps in self._staleness}

    @override
    def take(self, pushes: Sequence[ReceivedPush], counters: Values) -> tf.Tensor:
        with contextlib.ExitStack() as stack:
            traced = {push.ps: stack.enter_context(traced_on(push.ps)) for push in pushes}
            numbers = self.optimizer.apply(
                [gradient for push in pushes for gradient in push.decoded()],
                {push.ps: push.header[0] for push in pushes},
                rate_scale=functools.partial(self._scale, {p.ps: p for p in pushes})
                if self._rate_scale
                else None,
                versions={p.ps: self._versions[p.ps] for p in pushes if p.ps != self._home},
                paced=any(push.paced for push in pushes),
            )
            for push in pushes:
                counters, start = push.header
                step = counters[self.optimizer.global_step]
                self._add_staleness(push.ps, numbers[push.ps], step if start is None else start)
        if not self._confirms:
            return tf.zeros([], tf.int64)
        receipts = []
        for ps, ops in traced.items():
            with tf.device(ps_device(ps)), tf.control_dependencies(ops):
                receipts.append(tf.identity(numbers[ps]))
        return tf.add_n(receipts)

    def _scale(self, pushes: Mapping[int, ReceivedPush], ps: int) -> tf.Tensor:
        """Return the factor of the learning rate of a push, on its ps."""
        assert self._rate_scale is not None
        _, start = pushes[ps].header
        return self._rate_scale(_staleness(self._versions[ps].read_value(), start))

    def _add_staleness(self, ps: int, number: tf.Tensor, start: tf.Tensor) -> None:
        """Count the staleness of update `number`, whose step started at `start`."""
        with tf.device(ps_device(ps)):
            tf.raw_ops.ResourceScatterAdd(
                resource=self._histograms[ps],
                indices=tf.minimum(_staleness(number, start), STALENESS_BINS - 1),
                updates=tf.ones([], tf.int64),
            )

    @override
    def skip(self, start: Versions, worker: tf.Tensor) -> None:
        return

    @override
    def measured(self, num_ps: int) -> Measured:
        found = Measured.nothing(num_ps, self._workers)
        for ps, of_workers in self._staleness.items():
            histograms = np.stack([histogram.numpy() for histogram in of_workers])
            if self.optimizer.counts:
                found.updates[ps] = histograms.sum()
            if self._counts_staleness:
                found.staleness[ps] = histograms
        return found


def _staleness(number: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    # Below 0 if one of the worker's own steps was counted and made no update.
    return tf.maximum(number - start, 0)


def _handle_of_this_worker(variables: Sequence[tf.Variable]) -> tf.Tensor:
    return variables[per_worker.index()].handle
