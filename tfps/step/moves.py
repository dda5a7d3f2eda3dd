"""The four moves of one step: pull, compute, push, apply."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfps import _keras
from tfps.step.accumulate import Accumulator
from tfps.step.apply import Optimizer
from tfps.step.codec_state import CodecState
from tfps.step.compute import Computed, compute
from tfps.step.discover import Demand, check_sums, discover
from tfps.step.frozen import Frozen
from tfps.step.pull import Pull, pull
from tfps.step.push import Pushed, push, push_differences
from tfps.step.transfer import Wire


class Step:
    """What a step of a computation is made of.

    Attributes:
        demand: what the computation asks of the parameters.
        metrics: the metric state that it updates.
        optimizers: those that it applies.
        frozen: the parameters that no step changes.
    """

    def __init__(self, computation: Callable[[Any], Any], batch_spec: Any) -> None:
        """Discover what `computation` asks of the parameters for a batch of `batch_spec`.

        To be called in the strategy's scope: optimizers that are not built yet are built here.

        Raises:
            NotImplementedError: if the workers' parts of a metric's state could not be merged, or
                an optimizer is one that a ps cannot run.
        """
        self.computation = computation
        self.demand: Demand = discover(computation, batch_spec)
        self.optimizers: dict[int, Optimizer] = {}
        self.accumulators: dict[int, Accumulator] = {}
        self.codec_states: dict[int, CodecState] = {}
        for optimizer, variables in self.demand.applied:
            if not optimizer.built:
                optimizer.build(variables)
            made = Optimizer(optimizer)
            self.optimizers[id(optimizer)] = made
            self.codec_states[id(optimizer)] = CodecState()
            if made.steps_per_update > 1:
                self.accumulators[id(optimizer)] = Accumulator(
                    made.steps_per_update, variables, self.demand.tables, made.global_step
                )
        self.metrics = [v for v in self.demand.whole if v.synchronization == "on_read"]
        check_sums(self.demand, self.metrics)
        seeds = [v for v in self.demand.whole if _keras.is_seed_state(v)]
        self.seeds = [(seed, seed.numpy()) for seed in seeds]
        local = {id(variable) for variable in [*self.metrics, *seeds]}
        counters = [c for made in self.optimizers.values() for c in made.counters]
        used = {id(v): v for v in [*counters, *self.demand.whole] if id(v) not in local}
        self.written = [v for v in self.demand.written if id(v) not in local]
        changing = {id(v) for v in [*counters, *self.written]}
        changing.update(id(v) for _, variables in self.demand.applied for v in variables)
        self.whole = [v for key, v in used.items() if key in changing]
        self.frozen = Frozen([v for key, v in used.items() if key not in changing])

    @property
    def global_steps(self) -> list[keras.Variable]:
        """The counters of updates, one of each optimizer."""
        return [made.global_step for made in self.optimizers.values()]

    def moves(self, wire: Wire, worker: tf.Tensor) -> Moves:
        """Return the moves for a trace; to be called at the top of a worker's function."""
        for accumulator in self.accumulators.values():
            accumulator.begin()
        for codec_state in self.codec_states.values():
            codec_state.begin()
        return Moves(step=self, wire=wire, worker=worker, frozen=self.frozen.values())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Moves:
    """The moves of a step, in one trace of a worker's function.

    Attributes:
        step: what the step is made of.
        wire: the format in which parameters and gradients travel.
        worker: the index of the worker, int64.
        frozen: the parameters that the worker keeps, with their values.
    """

    step: Step
    wire: Wire
    worker: tf.Tensor
    frozen: Sequence[tuple[keras.Variable, tf.Tensor]]

    def pull(self, batch: Any) -> Pull:
        """Read from the ps what the step on `batch` needs."""
        demand = self.step.demand
        tables = list(zip(demand.tables, demand.row_ids(batch), strict=True))
        return pull(self.step.whole, tables, self.wire)

    def compute(self, batch: Any, pulled: Pull, metrics: Sequence[tf.Tensor]) -> Computed:
        """Run the model on `batch`, with what was pulled and the metric state so far."""
        seeds = self._seed_values(pulled)
        return compute(
            self.step.computation,
            batch,
            whole=[*pulled.whole, *self.frozen],
            rows=pulled.rows,
            local=[*zip(self.step.metrics, metrics, strict=True), *seeds],
        )

    def push(self, computed: Computed, pulled: Pull) -> Pushed:
        """Send gradients and differences to the ps, and have them applied."""
        dropped = tf.zeros([], tf.int64)
        sent_bytes = push_differences(self.step.written, computed.values, pulled, self.wire)
        for applied in computed.applied:
            key = id(applied.optimizer)
            one = push(
                self.step.optimizers[key],
                applied,
                pulled,
                self.wire,
                self.step.codec_states[key],
                self.step.accumulators.get(key),
            )
            dropped, sent_bytes = dropped + one.dropped, sent_bytes + one.sent_bytes
        return Pushed(dropped=dropped, sent_bytes=sent_bytes)

    def _seed_values(self, pulled: Pull) -> list[tuple[keras.Variable, tf.Tensor]]:
        """Derive each seed from its initial state, the worker and the global step.

        No two workers, and no two steps of one worker, draw the same numbers; a run of one worker
        can be repeated.
        """
        step = tf.zeros([], tf.int64)
        if self.step.optimizers:
            step = pulled.values[id(self.step.global_steps[0])]
        values = []
        for seed, initial in self.step.seeds:
            state = tf.constant(initial)
            own = tf.random.experimental.stateless_fold_in(state, tf.cast(self.worker, state.dtype))
            now = tf.random.experimental.stateless_fold_in(own, tf.cast(step, state.dtype))
            values.append((seed, now))
        return values
