"""The four moves of one step: pull, compute, push, apply."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfps.params.variable_map import Values, VariableMap
from tfps.step.compute import Computed, ComputeFunction, InlineApply, compute
from tfps.step.inline import InlinePush
from tfps.step.push import GradientPush, Pushed, push_written
from tfps.step.step import Step
from tfps.transport.messages import Wire, buckets
from tfps.transport.pull import Pull, Versions, pull
from tfps.transport.rows import Rows
from tfps.update.effect import Effect


@dataclasses.dataclass(frozen=True, kw_only=True)
class Moves:
    """The moves of a step, in one trace of a worker's function.

    Attributes:
        step: what the step is made of.
        wire: the format in which parameters and gradients travel.
        worker: the index of the worker, int64.
        paced: whether the messages of a push to one ps follow one another.
        frozen: the values of the parameters that the worker keeps.
    """

    step: Step
    wire: Wire
    worker: tf.Tensor
    paced: bool
    frozen: Values

    @classmethod
    def of(cls, step: Step, wire: Wire, worker: tf.Tensor, *, paced: bool = False) -> Moves:
        """Return the moves for a trace; to be called at the top of a worker's function.

        Args:
            step: what the step is made of.
            wire: the format in which parameters and gradients travel.
            worker: the index of the worker, int64.
            paced: whether the messages of a push to one ps follow one another.
        """
        step.prepare()
        return cls(
            step=step,
            wire=dataclasses.replace(wire, buckets=buckets(step.whole, wire.bucket_bytes)),
            worker=worker,
            paced=paced and wire.bucket_bytes is not None,
            frozen=step.frozen.values(),
        )

    def pull(self, batch: Any) -> Pull:
        """Wait until the step on `batch` may start, and read from the ps what it needs."""
        step, demand = self.step, self.step.demand
        tables = list(zip(demand.tables, demand.row_ids(batch), strict=True))

        def pull_all() -> Pull:
            return pull(step.whole, tables, self.wire, self._begin(), self._first())

        if step.gate is None:
            return pull_all()
        return step.gate.pull(pull_all, self.pull_whole, lambda: pull([], tables, self.wire, {}))

    def pull_whole(self) -> Pull:
        """Read from the ps the variables that are pulled whole."""
        return pull(self.step.whole, [], self.wire, self._begin(), self._first())

    def _first(self) -> list[keras.Variable]:
        # They wait for the whole push; the first messages of a paced one are not to wait.
        return [] if self.paced else self.step.global_steps

    def _begin(self) -> dict[Effect, Versions]:
        return {effect: effect.begin() for effect in self.step.effects}

    def compute(
        self,
        batch: Any,
        pulled: Pull,
        metrics: Sequence[tf.Tensor],
        inline: InlineApply | None = None,
    ) -> Computed:
        """Run the model on `batch`, with the pulled values and the metric state so far.

        Args:
            batch: the batch.
            pulled: the pulled values.
            metrics: the metric state.
            inline: what the calls of `apply` do whose effect the step sees; None lets them push.
        """
        step = self.step
        if inline is None:
            inline = InlinePush(step, self.wire, self.worker, pulled)
        run = functools.partial(self._compute, inline)
        whole = pulled.whole | self.frozen
        own = VariableMap(zip(step.metrics, metrics, strict=True)) | self._seed_values(pulled)
        if not (step.is_compiled and _suits_xla(batch)):
            return run(batch, whole, pulled.rows, own)
        rows = VariableMap((table, _padded(rows)) for table, rows in pulled.rows.items())
        function = ComputeFunction(run, batch, whole, rows, own, jit_compile=True)
        return _unpadded(function(batch, whole, rows, own), pulled.rows)

    def _compute(
        self,
        inline: InlineApply,
        batch: Any,
        whole: Values,
        rows: VariableMap[Rows],
        own: Values,
    ) -> Computed:
        step = self.step
        return compute(
            step.computation,
            batch,
            whole=whole,
            rows=rows,
            own=own,
            kept=[*step.metrics, *step.written],
            calls=step.demand.applied,
            variables=step.variables,
            inline=inline,
        )

    def metrics(self, computed: Computed) -> list[tf.Tensor]:
        """Return the metric state after a step."""
        return [computed.values[variable] for variable in self.step.metrics]

    def push(self, computed: Computed, pulled: Pull) -> Pushed:
        """Send gradients and differences to the ps, which apply them."""
        step = self.step
        pushed = written = self._push_written(computed, pulled)
        for applied in computed.applied:
            pushed += GradientPush(
                call=step.calls[applied.number],
                pulled=dataclasses.replace(pulled, whole=pulled.whole | applied.counters),
                wire=self.wire,
                worker=self.worker,
                after=written,
                replica=step.replica,
                paced=self.paced,
            ).push(applied)
        if step.gate is not None:
            sums = [] if computed.sums is None else [computed.sums]
            step.gate.end(self.worker, [*pushed.applied, *sums])
        return pushed

    def _push_written(self, computed: Computed, pulled: Pull) -> Pushed:
        """Send what the step assigned to variables."""
        step, values = self.step, computed.values
        bases = pulled.whole | computed.bases
        moved = [(v, values[v] - bases[v]) for v in step.moved]
        assigned = [(v, values[v]) for v in step.assigned]
        pushed = push_written(moved, assigned, self.wire, computed.assigned)
        if step.replica is not None:
            step.replica.write(VariableMap((v, values[v]) for v in step.written))
        return pushed

    def _seed_values(self, pulled: Pull) -> Values:
        """Derive each seed from its initial state, the worker and the number of the step.

        No two workers, and no two steps of one worker, draw the same numbers; a run of one worker
        can be repeated.
        """
        if not self.step.seeds:
            return VariableMap()
        steps = [pulled.whole[counter] for counter in self.step.global_steps]
        if not steps:  # no optimizer counts
            steps = [self.step.draws.read(0, tf.int64, [])]
            self.step.draws.write(0, steps[0] + 1)
        step = tf.add_n(steps)
        values: Values = VariableMap()
        for seed, initial in self.step.seeds:
            state = tf.constant(initial)
            for number in (self.worker, step):
                number = tf.cast(number, state.dtype)
                state = tf.random.experimental.stateless_fold_in(state, number)
            values[seed] = state
        return values


def _suits_xla(batch: Any) -> bool:
    """Whether XLA takes a batch: it does not take strings, ragged or sparse tensors."""
    tensors = [tensor for tensor in tf.nest.flatten(batch) if tensor is not None]
    return all(isinstance(t, tf.Tensor) and t.dtype != tf.string for t in tensors)


def _padded(rows: Rows) -> Rows:
    """Pad with rows of zeros up to the number of ids: XLA compiles for each number of rows."""
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


def _unpadded(computed: Computed, pulled: VariableMap[Rows]) -> Computed:
    """Remove the gradients of the rows that `_padded` added."""
    sizes = VariableMap((table, tf.shape(rows.values)[0]) for table, rows in pulled.items())
    return dataclasses.replace(
        computed,
        applied=[
            dataclasses.replace(
                applied,
                gradients=[
                    (v, g if g is None or v not in sizes else g[: sizes[v]])
                    for v, g in applied.gradients
                ],
            )
            for applied in computed.applied
        ],
    )
