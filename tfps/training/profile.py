"""Measuring a model's step and the links before codecs are picked."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from typing_extensions import override

from tfps.params.placement import ps_device
from tfps.step.compute import Applied, InlineApply
from tfps.step.moves import Moves
from tfps.step.step import Step
from tfps.training.feed import Feed
from tfps.training.pool import WorkerPool
from tfps.transport.messages import Wire
from tfps.wire.auto import StepProfile

_PROBE_BYTES = (1 << 14, 1 << 22)
_COMPUTED_STEPS = (1, 6)
_REPETITIONS = 4
_BARRIER_TIMEOUT_S = 60


def profile_step(step: Step, feed: Feed, workers: WorkerPool, wire: Wire) -> StepProfile | None:
    """Time a step and the links of all workers that have data, at the same time as in training.

    Args:
        step: the training step. It computes a few times on the first batch; nothing is pushed.
        feed: its data, of which nothing is used up.
        workers: the workers.
        wire: the wire without codecs.

    Returns:
        The figures of the slowest worker; None if there is no data.
    """
    batches: dict[int, Any] = {}

    def read(worker: int) -> None:
        if (batch := feed.first_batch(worker)) is not None:
            batches[worker] = batch

    workers.run_on_each(read)
    if not batches:
        return None
    number = tf.TensorSpec([], tf.int64)
    compute = tf.function(_compute(step, wire), autograph=False).get_concrete_function(
        feed.element_spec, number, number
    )
    probes = {direction: _probe(direction, wire.num_ps) for direction in ("pull", "push")}
    barrier = threading.Barrier(len(batches))
    profiles: list[StepProfile] = []

    def profile_on(worker: int) -> None:
        def run_steps(steps: int) -> int:
            numbers = (tf.constant(number, tf.int64) for number in (steps, worker))
            return int(compute(batches[worker], *numbers))

        def rate(direction: str) -> float:
            def move(size: int) -> float:
                return float(probes[direction](tf.constant(size)))

            return wire.num_ps / _seconds_per_unit(move, _PROBE_BYTES, barrier)

        num_bytes = run_steps(1)
        profiles.append(
            StepProfile(
                compute_s=_seconds_per_unit(run_steps, _COMPUTED_STEPS, barrier),
                pull_bytes=num_bytes,
                push_bytes=num_bytes,
                pull_bytes_per_s=rate("pull"),
                push_bytes_per_s=rate("push"),
            )
        )

    def profile_if_data(worker: int) -> None:
        if worker not in batches:
            return
        try:
            profile_on(worker)
        except BaseException:
            barrier.abort()  # the others go on without this worker
            raise

    workers.run_on_each(profile_if_data)
    return _slowest(profiles)


def _slowest(profiles: Sequence[StepProfile]) -> StepProfile:
    return StepProfile(
        compute_s=min(profile.compute_s for profile in profiles),
        pull_bytes=max(profile.pull_bytes for profile in profiles),
        push_bytes=max(profile.push_bytes for profile in profiles),
        pull_bytes_per_s=min(profile.pull_bytes_per_s for profile in profiles),
        push_bytes_per_s=min(profile.push_bytes_per_s for profile in profiles),
    )


def _seconds_per_unit(
    call: Callable[[int], Any], sizes: tuple[int, int], barrier: threading.Barrier
) -> float:
    """Return the time that `call(size)` takes longer for each unit of its size, in seconds.

    All workers time the same size at the same time: they wait for each other at `barrier`.
    """
    small, large = sizes
    times = {}
    for size in sizes:
        call(size)
        with contextlib.suppress(threading.BrokenBarrierError):
            barrier.wait(timeout=_BARRIER_TIMEOUT_S)
        times[size] = min(_timed(call, size) for _ in range(_REPETITIONS))
    if times[large] <= times[small]:  # on a machine that is busy otherwise
        return times[large] / large
    return (times[large] - times[small]) / (large - small)


def _timed(call: Callable[[int], Any], size: int) -> float:
    start_s = time.perf_counter()
    call(size)
    return time.perf_counter() - start_s


class _NotApplied(InlineApply):
    """Lets calls of `apply` do nothing."""

    @override
    def apply(self, applied: Applied) -> None:
        return


def _compute(step: Step, wire: Wire) -> Callable[..., tf.Tensor]:
    """Return a function of (batch, number of steps, worker) that pulls once and computes steps.

    It returns the bytes that it pulled.
    """

    def compute(batch: Any, steps: tf.Tensor, worker: tf.Tensor) -> tf.Tensor:
        moves = Moves.of(step, wire, worker)
        pulled = moves.pull(batch)
        metrics = [tf.zeros(v.shape, v.dtype) for v in step.metrics]

        def body(done: tf.Tensor, kept: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            computed = moves.compute(batch, pulled, metrics, _NotApplied())
            gradients = [
                gradient
                for applied in computed.applied
                for _, gradient in applied.gradients
                if gradient is not None
            ]
            # A part of each gradient is kept, so that TensorFlow computes all of them.
            parts = [tf.cast(tf.reshape(g, [-1])[:1], tf.float32) for g in gradients]
            return done + 1, kept + tf.reduce_sum(tf.concat(parts, axis=0))

        start = (tf.zeros([], tf.int64), tf.zeros([]))
        _, kept = tf.while_loop(lambda done, _: done < steps, body, start, parallel_iterations=1)
        with tf.control_dependencies([kept]):
            return tf.reduce_sum(pulled.received_bytes[:, 0])

    return compute


def _probe(direction: str, num_ps: int) -> Any:
    """Return a function that moves a number of bytes between the worker and each ps at once."""

    def move(size: tf.Tensor) -> tf.Tensor:
        sums = []
        for ps in range(num_ps):
            pulls = direction == "pull"
            sender, receiver = (ps_device(ps), None) if pulls else (None, ps_device(ps))
            with tf.device(sender):
                numbers = tf.fill([size // 4], tf.cast(size, tf.float32))
            with tf.device(receiver):
                sums.append(tf.reduce_sum(numbers))
        return tf.add_n(sums)

    spec = tf.TensorSpec([], tf.int32)
    return tf.function(move, autograph=False).get_concrete_function(spec)
