"""The program that a worker runs: many steps of pull, compute, push and apply in one function."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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
from tfps.step.push import push, push_differences
from tfps.step.transfer import Wire
from tfps.step.worker_local import keep_captures
from tfps.wire.codec import pack, unpack


class Program:
    """A computation as TensorFlow functions that run on a worker.

    Attributes:
        demand: what it asks of the parameters.
        metric_variables: the metric state that it updates: each dispatch starts it at zero and
            returns it, so that a dispatch which runs twice counts once.
    """

    def __init__(self, computation: Callable[[Any], Any], batch_spec: Any, wire: Wire) -> None:
        """Discover what `computation` asks of the parameters for a batch of `batch_spec`.

        To be called in the strategy's scope: optimizers that are not built yet are built here.

        Args:
            computation: takes a batch, returns any structure of tensors.
            batch_spec: the type of a batch.
            wire: the format in which parameters and gradients travel.

        Raises:
            NotImplementedError: if the workers' parts of a metric's state could not be merged, or
                an optimizer is one that a ps cannot run.
        """
        self._computation = computation
        self._spec = batch_spec
        self._wire = wire
        self._functions: dict[tuple[Any, ...], Any] = {}
        self.demand: Demand = discover(computation, batch_spec)
        self._optimizers: dict[int, Optimizer] = {}
        self._accumulators: dict[int, Accumulator] = {}
        self._codec_states: dict[int, CodecState] = {}
        for optimizer, variables in self.demand.applied:
            if not optimizer.built:
                optimizer.build(variables)
            made = Optimizer(optimizer)
            self._optimizers[id(optimizer)] = made
            self._codec_states[id(optimizer)] = CodecState()
            if made.steps_per_update > 1:
                self._accumulators[id(optimizer)] = Accumulator(
                    made.steps_per_update, variables, self.demand.tables, made.global_step
                )
        self._counters = [c for made in self._optimizers.values() for c in made.counters]
        metrics = [v for v in self.demand.whole if v.synchronization == "on_read"]
        self.metric_variables = self._metrics = metrics
        check_sums(self.demand, metrics)
        seeds = [v for v in self.demand.whole if _keras.is_seed_state(v)]
        self._seeds = [(seed, seed.numpy()) for seed in seeds]
        local = {id(variable) for variable in [*metrics, *seeds]}
        used = {id(v): v for v in [*self._counters, *self.demand.whole] if id(v) not in local}
        self._written = [v for v in self.demand.written if id(v) not in local]
        changing = {id(v) for v in [*self._counters, *self._written]}
        changing.update(id(v) for _, variables in self.demand.applied for v in variables)
        self._whole = [v for key, v in used.items() if key in changing]
        self._frozen = Frozen([v for key, v in used.items() if key not in changing])

    @property
    def traffic_shape(self) -> tuple[int, int, int]:
        """The shape of the bytes that are counted: see `dispatch`."""
        return (self._wire.num_ps, 2, 2)

    @property
    def boundaries(self) -> tuple[int, ...]:
        """The global steps at which what travels changes its format."""
        return self._wire.boundaries if self._optimizers else ()

    @property
    def global_step(self) -> int:
        """How many steps have been counted so far."""
        return max(int(made.global_step.numpy()) for made in self._optimizers.values())

    def dispatch(self, *, with_output: bool = False, step: int = 0) -> Any:
        """Return the function that runs several steps on a worker in one call.

        Args:
            with_output: whether the function returns the last step's output, too.
            step: the global step of the first of them; there are no boundaries between them.

        Returns:
            A concrete function of (iterator over batches, number of steps, worker index); the last
            two int64 scalars. It stops early when the iterator ends, and returns the number of
            steps that ran, int64, and the state that they left: metrics, dropped, traffic, output.
        """
        wire = self._wire.at(step)

        def dispatch(iterator: Any, steps: tf.Tensor, worker: tf.Tensor) -> Any:
            frozen = self._frozen.values()
            self._begin()

            def one_step(batch: Any, state: _State) -> _State:
                done = self._one_step(batch, state.metrics, worker, frozen, wire)
                return _State(
                    metrics=[done.computed.values[id(variable)] for variable in self._metrics],
                    dropped=state.dropped + done.dropped,
                    traffic=state.traffic + done.traffic,
                    output=done.computed.output if with_output else (),
                )

            output = _empty_like(self.demand.outputs) if with_output else ()
            start = _State(
                metrics=self._fresh_metrics(),
                dropped=tf.zeros([], tf.int64),
                traffic=tf.zeros(self.traffic_shape, tf.int64),
                output=output,
            )
            done, state = _repeat(one_step, iterator, steps, start)
            metrics = [pack(values) for _, values in _by_dtype(self._metrics, state.metrics)]
            return done, state._replace(metrics=metrics)

        return self._traced(("dispatch", with_output, wire.step), dispatch)

    def single(self) -> Any:
        """Return the function that runs one step and gives the computation's output.

        Returns:
            A concrete function with the arguments of `dispatch`, of which the number of steps
            counts as 1. It returns how many steps ran, int64, 0 at the end of the data, and the
            output, which then is empty.
        """

        def single(iterator: Any, steps: tf.Tensor, worker: tf.Tensor) -> Any:
            del steps
            frozen = self._frozen.values()
            self._begin()
            batch = iterator.get_next_as_optional()
            output = tf.cond(
                batch.has_value(),
                lambda: (
                    self._one_step(
                        batch.get_value(), [], worker, frozen, self._wire
                    ).computed.output
                ),
                lambda: _empty_like(self.demand.outputs),
            )
            return tf.cast(batch.has_value(), tf.int64), output

        return self._traced(("single",), single)

    def refresh(self) -> None:
        """Let the workers pull anew what no step changes, if it has changed since the last call."""
        self._frozen.refresh()

    def _begin(self) -> None:
        for accumulator in self._accumulators.values():
            accumulator.begin()
        for state in self._codec_states.values():
            state.begin()

    def _traced(self, name: tuple[Any, ...], function: Callable[..., Any]) -> Any:
        if name not in self._functions:
            number = tf.TensorSpec([], tf.int64)
            traced = tf.function(function, autograph=False).get_concrete_function(
                tf.data.IteratorSpec(self._spec), number, number
            )
            keep_captures(traced, self.demand.lookup_tables)
            self._functions[name] = traced
        return self._functions[name]

    def unpack_metrics(self, packed: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Return the metric variables' values, in their order, from what `dispatch` gave."""
        values: dict[int, tf.Tensor] = {}
        groups = _by_dtype(self._metrics, self._metrics)
        for (_, variables), piece in zip(groups, packed, strict=True):
            shapes = [tuple(variable.shape) for variable in variables]
            values.update(zip(map(id, variables), unpack(piece, shapes), strict=True))
        return [values[id(variable)] for variable in self._metrics]

    def _one_step(
        self,
        batch: Any,
        metrics: list[tf.Tensor],
        worker: tf.Tensor,
        frozen: list[tuple[keras.Variable, tf.Tensor]],
        wire: Wire,
    ) -> _Step:
        """Pull, compute, push and apply one step."""
        tables = list(zip(self.demand.tables, self.demand.row_ids(batch), strict=True))
        pulled = pull(self._whole, tables, wire)
        computed = compute(
            self._computation,
            batch,
            whole=[*pulled.whole, *frozen],
            rows=pulled.rows,
            local=[*zip(self._metrics, metrics, strict=True), *self._seed_values(pulled, worker)],
        )
        dropped, sent_bytes = tf.zeros([], tf.int64), pulled.sent_bytes
        for applied in computed.applied:
            key = id(applied.optimizer)
            pushed = push(
                self._optimizers[key],
                applied,
                pulled,
                wire,
                self._codec_states[key],
                self._accumulators.get(key),
            )
            dropped, sent_bytes = dropped + pushed.dropped, sent_bytes + pushed.sent_bytes
        sent_bytes += push_differences(self._written, computed.values, pulled, wire)
        traffic = tf.stack([pulled.received_bytes, sent_bytes], axis=1)
        return _Step(computed=computed, dropped=dropped, traffic=traffic)

    def _fresh_metrics(self) -> list[tf.Tensor]:
        """Return the state that the metrics' `reset_state` gives: zeros, for Keras's metrics."""
        return [tf.zeros(variable.shape, variable.dtype) for variable in self._metrics]

    def _seed_values(
        self, pulled: Pull, worker: tf.Tensor
    ) -> list[tuple[keras.Variable, tf.Tensor]]:
        """Derive each seed from its initial state, the worker and the global step.

        No two workers, and no two steps of one worker, draw the same numbers; a run of one worker
        can be repeated.
        """
        step = tf.zeros([], tf.int64)
        if self._counters:
            step = pulled.values[id(self._counters[0])]
        values = []
        for seed, initial in self._seeds:
            state = tf.constant(initial)
            own = tf.random.experimental.stateless_fold_in(state, tf.cast(worker, state.dtype))
            now = tf.random.experimental.stateless_fold_in(own, tf.cast(step, state.dtype))
            values.append((seed, now))
        return values


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Step:
    """What one step gave; its `dropped` and `traffic` are those of `_State`, of this step alone."""

    computed: Computed
    dropped: tf.Tensor
    traffic: tf.Tensor


class _State(NamedTuple):
    """What a dispatch carries from step to step, and returns.

    Attributes:
        metrics: the metric state; when it is returned, packed by dtype (see `unpack_metrics`).
        dropped: how many updates were dropped since their gradients were not finite, int64.
        traffic: bytes, int64, of shape `(num_ps, 2, 2)`: of each ps, pulled and pushed, before and
            after coding.
        output: the last step's output, if it is wanted.
    """

    metrics: list[tf.Tensor]
    dropped: tf.Tensor
    traffic: tf.Tensor
    output: Any


def _repeat(
    one_step: Callable[[Any, _State], _State], iterator: Any, steps: tf.Tensor, state: _State
) -> tuple[tf.Tensor, _State]:
    """Run `one_step` on up to `steps` batches; return how many there were, and the last state."""

    def body(done: tf.Tensor, more: tf.Tensor, state: _State) -> tuple[tf.Tensor, Any, _State]:
        batch = iterator.get_next_as_optional()
        more = batch.has_value()
        state = tf.cond(more, lambda: one_step(batch.get_value(), state), lambda: state)
        return done + tf.cast(more, tf.int64), more, state

    done, _, state = tf.while_loop(
        lambda done, more, _: tf.logical_and(more, done < steps),
        body,
        (tf.zeros([], tf.int64), tf.constant(True), state),
        parallel_iterations=1,
    )
    return done, state


def _empty_like(outputs: Any) -> Any:
    """Return tensors like symbolic ones, of which each unknown dimension is 0."""
    empty = [
        tf.zeros([size or 0 for size in tensor.shape.as_list()], tensor.dtype)
        for tensor in tf.nest.flatten(outputs, expand_composites=True)
    ]
    return tf.nest.pack_sequence_as(outputs, empty, expand_composites=True)


def _by_dtype(
    variables: Sequence[keras.Variable], values: Sequence[Any]
) -> list[tuple[str, list[Any]]]:
    groups: dict[str, list[Any]] = {}
    for variable, value in zip(variables, values, strict=True):
        groups.setdefault(variable.dtype, []).append(value)
    return sorted(groups.items())
