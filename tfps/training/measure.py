"""What a job measures of its links and its step before it picks codecs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfps.params.placement import ps_device
from tfps.step.moves import Moves
from tfps.step.step import Step
from tfps.training.feed import Feed
from tfps.training.lanes import Lanes
from tfps.transport.messages import Wire
from tfps.wire.auto import Measured

_PROBE_BYTES = (1 << 14, 1 << 22)
_COMPUTED_STEPS = (1, 6)
_REPETITIONS = 4
_MEETING_S = 60


def measure(step: Step, feed: Feed, lanes: Lanes, wire: Wire) -> Measured | None:
    """Time a step and the links of all workers that have data, together as they will use them.

    Args:
        step: what is to be trained. It computes a few times on the first batch; nothing is pushed.
        feed: its data, of which nothing is used up.
        lanes: of the workers.
        wire: with codecs that change nothing.

    Returns:
        What the slowest found; None if there is no data.
    """
    batches: dict[int, Any] = {}

    def read(worker: int) -> None:
        if (batch := feed.first_batch(worker)) is not None:
            batches[worker] = batch

    lanes.on_each(read)
    if not batches:
        return None
    number = tf.TensorSpec([], tf.int64)
    compute = tf.function(_compute(step, wire), autograph=False).get_concrete_function(
        feed.element_spec, number, number
    )
    probes = {name: _probe(name, wire.num_ps) for name in ("pull", "push")}
    found: list[Measured] = []
    meeting = threading.Barrier(len(batches))

    def on_worker(worker: int) -> None:
        if worker not in batches:
            return
        try:
            measure_on(worker)
        except BaseException:
            meeting.abort()  # who waits for this worker goes on without it
            raise

    def measure_on(worker: int) -> None:
        def slope(call: Callable[[int], Any], small: int, large: int) -> float:
            """Return the seconds that one more takes, of what `call` does so many of."""
            times = {}
            for size in (small, large):
                call(size)
                with contextlib.suppress(threading.BrokenBarrierError):
                    meeting.wait(timeout=_MEETING_S)
                times[size] = min(_timed(call, size) for _ in range(_REPETITIONS))
            if times[large] <= times[small]:  # on a machine that is busy otherwise
                return times[large] / large
            return (times[large] - times[small]) / (large - small)

        def computed(steps: int) -> int:
            numbers = (tf.constant(number, tf.int64) for number in (steps, worker))
            return int(compute(batches[worker], *numbers))

        def moved(direction: str) -> Callable[[int], Any]:
            return lambda size: float(probes[direction](tf.constant(size)))

        num_bytes = computed(1)
        found.append(
            Measured(
                compute_s=slope(computed, *_COMPUTED_STEPS),
                pull_bytes=num_bytes,
                push_bytes=num_bytes,
                pull_bytes_per_s=wire.num_ps / slope(moved("pull"), *_PROBE_BYTES),
                push_bytes_per_s=wire.num_ps / slope(moved("push"), *_PROBE_BYTES),
            )
        )

    lanes.on_each(on_worker)
    return Measured(
        compute_s=min(one.compute_s for one in found),
        pull_bytes=max(one.pull_bytes for one in found),
        push_bytes=max(one.push_bytes for one in found),
        pull_bytes_per_s=min(one.pull_bytes_per_s for one in found),
        push_bytes_per_s=min(one.push_bytes_per_s for one in found),
    )


def _timed(call: Callable[[int], Any], size: int) -> float:
    started = time.perf_counter()
    call(size)
    return time.perf_counter() - started


def _compute(step: Step, wire: Wire) -> Callable[..., tf.Tensor]:
    """Return the function that pulls once, and computes so many times on a batch.

    It gives the bytes that it pulled.
    """

    def compute(batch: Any, steps: tf.Tensor, worker: tf.Tensor) -> tf.Tensor:
        moves = Moves.of(step, wire, worker)
        pulled = moves.pull(batch)
        metrics = [tf.zeros(v.shape, v.dtype) for v in step.metrics]

        def body(done: tf.Tensor, kept: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            computed = moves.compute(batch, pulled, metrics)
            gradients = [g for one in computed.applied for _, g in one.gradients if g is not None]
            # So that all of them have to be computed.
            parts = [tf.cast(tf.reshape(g, [-1])[:1], tf.float32) for g in gradients]
            return done + 1, kept + tf.reduce_sum(tf.concat(parts, axis=0))

        start = (tf.zeros([], tf.int64), tf.zeros([]))
        _, kept = tf.while_loop(lambda done, _: done < steps, body, start, parallel_iterations=1)
        with tf.control_dependencies([kept]):
            return tf.reduce_sum(pulled.received_bytes[:, 0])

    return compute


def _probe(direction: str, num_ps: int) -> Any:
    """Return the function that moves so many bytes between the worker and each ps at once."""

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
