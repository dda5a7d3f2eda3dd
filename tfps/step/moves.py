"""The four moves of one step: pull, compute, push, apply."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfps import _keras
from tfps.params.placement import NEGLIGIBLE_BYTES
from tfps.params.shards import shards
from tfps.step.accumulate import Accumulator
from tfps.step.apply import Optimizer
from tfps.step.at_once import AtOnce
from tfps.step.by_rule import ByRule
from tfps.step.codec_state import CodecState
from tfps.step.compute import Applied, Computed, ComputeFunction, Rows, compute
from tfps.step.discover import Demand, check_sums, discover
from tfps.step.effect import Effect
from tfps.step.frozen import Frozen
from tfps.step.gate import Gate
from tfps.step.limits import check_apart
from tfps.step.messages import Wire, buckets
from tfps.step.ps_program import PsProgram
from tfps.step.pull import Pull, pull
from tfps.step.push import Pushed, push, push_differences
from tfps.step.settings import StepSettings


class Step:
    """What a step of a computation is made of.

    Attributes:
        demand: what the computation asks of the parameters.
        metrics: the metric state that it updates.
        optimizers: those that it applies.
        effects: how the gradients of each take effect.
        gate: what lets the steps start, if they must wait.
        frozen: the parameters that no step changes.
    """

    def __init__(
        self, computation: Callable[[Any], Any], batch_spec: Any, settings: StepSettings
    ) -> None:
        """Discover what `computation` asks of the parameters for a batch of `batch_spec`.

        To be called in the strategy's scope: optimizers that are not built yet are built here.

        Raises:
            NotImplementedError: if the workers' parts of a metric's state could not be merged, or
                an optimizer is one that a ps cannot run.
        """
        self.computation = computation
        self._jit_compile = settings.jit_compile
        self.demand: Demand = discover(computation, batch_spec)
        self.optimizers: dict[int, Optimizer] = {}
        self.effects: dict[int, Effect] = {}
        self.accumulators: dict[int, Accumulator] = {}
        self.codec_states: dict[int, CodecState] = {}
        for optimizer, variables in self.demand.applied:
            if not optimizer.built:
                optimizer.build(variables)
            made = Optimizer(optimizer, lazy_rows=settings.lazy_rows)
            self.optimizers[id(optimizer)] = made
            self.effects[id(optimizer)] = _effect(optimizer, made, settings)
            self.codec_states[id(optimizer)] = CodecState()
            if made.steps_per_update > 1:
                self.accumulators[id(optimizer)] = Accumulator(
                    made.steps_per_update, variables, self.demand.tables, made.global_step
                )
        self.gate = None
        if settings.timing.gate is not None and self.optimizers:
            self.gate = Gate(settings.num_workers, settings.timing.gate)
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

    @functools.cached_property
    def is_small(self) -> bool:
        """Whether the parameters are so few that calls between tasks are most of a step's cost."""
        used = [shard for v in [*self.whole, *self.demand.tables] for shard in shards(v)]
        num_bytes = sum(shard.num_elements * shard.variable.dtype.size for shard in used)
        return bool(num_bytes <= NEGLIGIBLE_BYTES)

    @property
    def ps_programs(self) -> list[PsProgram]:
        """What runs on the ps while the workers run what was traced last."""
        found = [
            program for effect in self.effects.values() for program in effect.programs.values()
        ]
        return found if self.gate is None else [*found, self.gate.program]

    @property
    def measuring(self) -> list[Effect | Gate]:
        """What has measures of the updates."""
        found: list[Effect | Gate] = list(self.effects.values())
        return found if self.gate is None else [*found, self.gate]

    @property
    def global_steps(self) -> list[keras.Variable]:
        """The counters of updates, one of each optimizer."""
        return [made.global_step for made in self.optimizers.values()]

    def moves(self, wire: Wire, worker: tf.Tensor, *, paced: bool = False) -> Moves:
        """Return the moves for a trace; to be called at the top of a worker's function.

        Args:
            wire: the format in which parameters and gradients travel.
            worker: the index of the worker, int64.
            paced: whether the messages of a push follow one another, where a ps gets several.
        """
        for accumulator in self.accumulators.values():
            accumulator.begin()
        for codec_state in self.codec_states.values():
            codec_state.begin()
        for part in self.measuring:
            part.prepare()
        return Moves(
            step=self,
            wire=dataclasses.replace(wire, buckets=buckets(self.whole, wire.bucket_bytes)),
            worker=worker,
            paced=paced and wire.bucket_bytes is not None,
            frozen=self.frozen.values(),
            jit_compile=self._jit_compile,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Moves:
    """The moves of a step, in one trace of a worker's function.

    Attributes:
        step: what the step is made of.
        wire: the format in which parameters and gradients travel.
        worker: the index of the worker, int64.
        paced: whether the messages of a push follow one another, where a ps gets several.
        frozen: the parameters that the worker keeps, with their values.
        jit_compile: whether XLA compiles what a worker computes.
    """

    step: Step
    wire: Wire
    worker: tf.Tensor
    paced: bool
    jit_compile: bool
    frozen: Sequence[tuple[keras.Variable, tf.Tensor]]

    def pull(self, batch: Any) -> Pull:
        """Read from the ps what the step on `batch` needs."""
        gate = self.step.gate
        if gate is None:
            return self._pull(batch)
        with tf.control_dependencies([gate.begin()]):
            return self._pull(batch)

    def _pull(self, batch: Any) -> Pull:
        demand = self.step.demand
        tables = list(zip(demand.tables, demand.row_ids(batch), strict=True))
        began = {key: effect.begin() for key, effect in self.step.effects.items()}
        return pull(self.step.whole, tables, self.wire, began)

    def compute(self, batch: Any, pulled: Pull, metrics: Sequence[tf.Tensor]) -> Computed:
        """Run the model on `batch`, with what was pulled and the metric state so far."""
        whole = [*pulled.whole, *self.frozen]
        local = [*zip(self.step.metrics, metrics, strict=True), *self._seed_values(pulled)]
        if not (self.jit_compile and _suits_xla(batch)):
            return self._compute(batch, whole, pulled.rows, local)
        rows = [(table, _padded(rows)) for table, rows in pulled.rows]
        function = ComputeFunction(self._compute, batch, whole, rows, local, jit_compile=True)
        return _unpadded(function(batch, whole, rows, local), pulled.rows)

    def _compute(
        self,
        batch: Any,
        whole: Sequence[tuple[keras.Variable, tf.Tensor]],
        rows: Sequence[tuple[keras.Variable, Rows]],
        local: Sequence[tuple[keras.Variable, tf.Tensor]],
    ) -> Computed:
        kept = [*self.step.metrics, *self.step.written]
        return compute(self.step.computation, batch, whole=whole, rows=rows, local=local, kept=kept)

    def push(self, computed: Computed, pulled: Pull) -> Pushed:
        """Send gradients and differences to the ps, and have them applied."""
        dropped = tf.zeros([], tf.int64)
        all_applied: list[tf.Tensor] = []
        sent_bytes = push_differences(self.step.written, computed.values, pulled, self.wire)
        for applied in computed.applied:
            key = id(applied.optimizer)
            one = push(
                self.step.effects[key],
                applied,
                pulled,
                self.wire,
                self.step.codec_states[key],
                self.step.accumulators.get(key),
                self.worker,
                paced=self.paced,
            )
            dropped, sent_bytes = dropped + one.dropped, sent_bytes + one.sent_bytes
            all_applied.extend(one.applied)
        if self.step.gate is not None:
            self.step.gate.end(self.worker, all_applied)
        return Pushed(dropped=dropped, sent_bytes=sent_bytes, applied=all_applied)

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


def _effect(
    optimizer: keras.optimizers.Optimizer, made: Optimizer, settings: StepSettings
) -> Effect:
    timing, workers = settings.timing, settings.num_workers
    if timing.rule is None:
        return AtOnce(made, workers, timing)
    for inner in _keras.without_wrappers(optimizer):
        check_apart(inner)
    return ByRule(made, workers, timing.rule)


def _suits_xla(batch: Any) -> bool:
    """Whether XLA takes a batch: it knows no strings, and no ragged or sparse tensors."""
    tensors = tf.nest.flatten(batch)
    return all(isinstance(t, tf.Tensor) and t.dtype != tf.string for t in tensors)


def _padded(rows: Rows) -> Rows:
    """Add rows of zeros, up to the number of ids: XLA compiles anew for each number of rows."""
    sizes = [inverse.shape.num_elements() for inverse in rows.inverse]
    total = sum(
        tf.size(inverse) if size is None else size
        for inverse, size in zip(rows.inverse, sizes, strict=True)
    )
    missing = total - tf.shape(rows.values)[0]
    values = tf.pad(rows.values, [[0, missing]] + [[0, 0]] * (rows.values.shape.rank - 1))
    if None not in sizes:
        values.set_shape([total, *rows.values.shape[1:]])
    return dataclasses.replace(rows, values=values)


def _unpadded(computed: Computed, pulled: Sequence[tuple[keras.Variable, Rows]]) -> Computed:
    """Take the gradients by the added rows away."""
    sizes = {id(table): tf.shape(rows.values)[0] for table, rows in pulled}
    return dataclasses.replace(
        computed,
        applied=[
            Applied(
                optimizer=applied.optimizer,
                gradients=[
                    (
                        variable,
                        g if g is None or id(variable) not in sizes else g[: sizes[id(variable)]],
                    )
                    for variable, g in applied.gradients
                ],
            )
            for applied in computed.applied
        ],
    )
