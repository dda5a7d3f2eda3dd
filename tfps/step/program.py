"""The program that a worker runs: many steps of pull, compute, push and apply in one function."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfps import _keras
from tfps.step.apply import Optimizer
from tfps.step.compute import Computed, compute
from tfps.step.discover import Demand, discover
from tfps.step.packing import pack, unpack
from tfps.step.pull import Pull, pull
from tfps.step.push import Push


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """What one step is, before a cluster is asked to run it.

    Attributes:
        computation: takes a batch; returns the loss if there is an optimizer, else any outputs.
        metric_variables: metric state: each dispatch starts it anew and returns it, so that a
            dispatch which runs twice counts once.
        optimizer: updates what is trainable; None for a step that trains nothing.
        trainable: the variables that the optimizer updates.
    """

    computation: Callable[[Any], Any]
    metric_variables: Sequence[keras.Variable] = ()
    optimizer: Optimizer | None = None
    trainable: Sequence[keras.Variable] = ()


class Program:
    """A step as TensorFlow functions that run on a worker.

    Attributes:
        demand: what the step asks of the parameters.
        metric_variables: those of the step.
    """

    def __init__(self, step: Step, batch_spec: Any) -> None:
        """Discover what `step` asks of the parameters for a batch of `batch_spec`."""
        self._step = step
        self._spec = batch_spec
        self._functions: dict[str, Any] = {}
        self.metric_variables = self._metrics = list(step.metric_variables)
        self._counters = step.optimizer.counters if step.optimizer else []
        self.demand: Demand = discover(step.computation, batch_spec)
        local = {id(variable) for variable in self._metrics}
        seeds = [v for v in self.demand.whole if _keras.is_seed_state(v)]
        self._seeds = [(seed, seed.numpy()) for seed in seeds]
        local.update(map(id, seeds))
        self._whole = [v for v in self.demand.whole if id(v) not in local]
        self._written = [v for v in self.demand.written if id(v) not in local]

    def dispatch(self) -> Any:
        """Return the function that runs several steps on a worker in one call.

        Returns:
            A concrete function of (iterator over batches, number of steps, worker index); the last
            two int64 scalars. It stops early when the iterator ends, and returns the number of
            steps that ran, int64, and the metric state, packed by dtype (see `unpack_metrics`).
        """

        def dispatch(iterator: Any, steps: tf.Tensor, worker: tf.Tensor) -> Any:
            kept = None if self._step.optimizer else pull(self._whole, [], [])

            def one_step(batch: Any, state: list[tf.Tensor]) -> list[tf.Tensor]:
                computed = self._one_step(batch, state, worker, kept)
                return [computed.values[id(variable)] for variable in self._metrics]

            done, state = _repeat(one_step, iterator, steps, self._fresh_metrics())
            return done, [pack(values) for _, values in _by_dtype(self._metrics, state)]

        return self._traced(dispatch)

    def single(self) -> Any:
        """Return the function that runs one step and gives the computation's output.

        Returns:
            A concrete function with the arguments of `dispatch`, of which the number of steps
            counts as 1. It returns how many steps ran, int64, 0 at the end of the data, and the
            output, which then is empty.
        """

        def single(iterator: Any, steps: tf.Tensor, worker: tf.Tensor) -> Any:
            del steps
            batch = iterator.get_next_as_optional()
            output = tf.cond(
                batch.has_value(),
                lambda: self._one_step(batch.get_value(), [], worker, None).output,
                lambda: _empty_like(self.demand.outputs),
            )
            return tf.cast(batch.has_value(), tf.int64), output

        return self._traced(single)

    def _traced(self, function: Callable[..., Any]) -> Any:
        if function.__name__ not in self._functions:
            number = tf.TensorSpec([], tf.int64)
            self._functions[function.__name__] = tf.function(
                function, autograph=False
            ).get_concrete_function(tf.data.IteratorSpec(self._spec), number, number)
        return self._functions[function.__name__]

    def unpack_metrics(self, packed: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Return the metric variables' values, in their order, from what `dispatch` gave."""
        values: dict[int, tf.Tensor] = {}
        groups = _by_dtype(self._metrics, self._metrics)
        for (_, variables), piece in zip(groups, packed, strict=True):
            shapes = [tuple(variable.shape) for variable in variables]
            values.update(zip(map(id, variables), unpack(piece, shapes), strict=True))
        return [values[id(variable)] for variable in self._metrics]

    def _one_step(
        self, batch: Any, metrics: list[tf.Tensor], worker: tf.Tensor, kept: Pull | None
    ) -> Computed:
        """Pull, compute and push one step; `kept` holds whole values that need no new pull."""
        tables = list(zip(self.demand.tables, self.demand.row_ids(batch), strict=True))
        pulled = pull([] if kept else self._whole, tables, self._counters)
        computed = compute(
            self._scaled,
            batch,
            whole=(kept or pulled).whole,
            rows=pulled.rows,
            local=[*zip(self._metrics, metrics, strict=True), *self._seed_values(pulled, worker)],
            trainable=self._step.trainable,
        )
        if self._step.optimizer is not None:
            self._push(pulled, computed).apply(self._step.optimizer)
        return computed

    def _scaled(self, batch: Any) -> Any:
        output = self._step.computation(batch)
        return output if self._step.optimizer is None else self._step.optimizer.scale_loss(output)

    def _push(self, pulled: Pull, computed: Computed) -> Push:
        assert self._step.optimizer is not None
        gradients = self._step.optimizer.prepare(
            [(variable, computed.gradients.get(id(variable))) for variable in self._step.trainable]
        )
        return Push(
            whole=[(v, gradients[id(v)]) for v, _ in pulled.whole if id(v) in gradients],
            requests=pulled.requests,
            sent=pulled.sent,
            rows=[gradients.get(id(request.variable)) for request in pulled.requests],
            differences=self._differences(pulled, computed),
            counters=pulled.counters,
        )

    def _differences(
        self, pulled: Pull, computed: Computed
    ) -> list[tuple[keras.Variable, tf.Tensor]]:
        before = {id(variable): value for variable, value in pulled.whole}
        return [(v, computed.values[id(v)] - before[id(v)]) for v in self._written]

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
        step = next(iter(pulled.counters.values()), tf.zeros([], tf.int64))
        values = []
        for seed, initial in self._seeds:
            state = tf.constant(initial)
            own = tf.random.experimental.stateless_fold_in(state, tf.cast(worker, state.dtype))
            now = tf.random.experimental.stateless_fold_in(own, tf.cast(step, state.dtype))
            values.append((seed, now))
        return values


def _repeat(
    one_step: Callable[[Any, list[tf.Tensor]], list[tf.Tensor]],
    iterator: Any,
    steps: tf.Tensor,
    state: list[tf.Tensor],
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Run `one_step` on up to `steps` batches; return how many there were, and the last state."""

    def body(done: tf.Tensor, more: tf.Tensor, *state: tf.Tensor) -> tuple[tf.Tensor, ...]:
        batch = iterator.get_next_as_optional()
        more = batch.has_value()
        state = tf.cond(more, lambda: one_step(batch.get_value(), list(state)), lambda: list(state))
        return done + tf.cast(more, tf.int64), more, *state

    done, _, *state = tf.while_loop(
        lambda done, more, *_: tf.logical_and(more, done < steps),
        body,
        [tf.zeros([], tf.int64), tf.constant(True), *state],
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
