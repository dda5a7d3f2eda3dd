"""Windows: steps that a worker takes on a copy of its own, between one pull and one push.

In between runs a loop that no ps takes part in, except for rows of tables that the copy lacks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from typing_extensions import override

from tfps.params.variable_map import Values, VariableMap, VariableSet
from tfps.step.calls import StepApply
from tfps.step.compute import Applied, Computed, ComputeFunction, InlineApply
from tfps.step.moves import Moves
from tfps.step.push import Pushed, deliver, push_row_differences, push_written
from tfps.step.repeat import Batches, State
from tfps.transport.pull import Pull
from tfps.transport.rows import RowRequest
from tfps.transport.tree import take_apart
from tfps.worker.replica import Replica
from tfps.worker.row_copy import RowCopy, RowUpdate


class Windows:
    """Windows on the batches of an iterator; to be made in a worker's function."""

    def __init__(self, moves: WindowMoves, batches: Batches, most_steps: int) -> None:
        """Take the moves, the batches, and the most steps of a window."""
        self._moves = moves
        self._batches = batches
        self._most_steps = most_steps

    def run(self, state: State) -> tuple[tf.Tensor, State]:
        """Run all steps; return the number of steps that ran, and the state after them."""
        none = tf.zeros([], tf.int64)
        first = none, self._batches.after(none), state
        done, _, last = self._while(self._window, first, lambda done, following: True)
        return done, last

    def _window(self, done: tf.Tensor, following: Any, state: State) -> Any:
        pulled = self._moves.pull()
        end = done + self._most_steps
        first = done, following, state.with_pull(pulled)
        done, following, state = self._while(self._step, first, lambda done, _: done < end)
        return done, following, state.with_push(self._moves.push(pulled))

    def _step(self, done: tf.Tensor, following: Any, state: State) -> Any:
        batch = following.get_value()
        inputs = self._moves.look_up(batch)
        compute = ComputeFunction(self._moves.compute, batch, inputs, state.metrics)
        computed = compute(batch, inputs, state.metrics)
        dropped = self._moves.follow(computed, inputs)
        state = state.with_pull(inputs.pulled)._replace(
            metrics=self._moves.metrics(computed),
            dropped=state.dropped + dropped,
            output=computed.output if state.has_output else (),
        )
        return done + 1, self._batches.after(done + 1), state

    def _while(self, body: Any, first: Any, more: Any) -> Any:
        """Repeat `body` while a batch follows and `more` returns true."""
        tensors, rebuild = take_apart(first)

        def goes_on(*tensors: tf.Tensor) -> tf.Tensor:
            done, following, _ = rebuild(tensors)
            return tf.logical_and(following.has_value(), more(done, following))

        tensors = tf.while_loop(
            goes_on,
            lambda *tensors: take_apart(body(*rebuild(tensors)))[0],
            tensors,
            shape_invariants=[_any_size(tensor) for tensor in tensors],
            parallel_iterations=1,
        )
        return rebuild(tensors)


def _any_size(tensor: tf.Tensor) -> tf.TensorShape:
    """Return the shape that a tensor may get: an initial output has size 0 where it is unknown."""
    return tf.TensorShape([size or None for size in tensor.shape])


@dataclasses.dataclass(frozen=True, kw_only=True)
class WindowInputs:
    """What a step computes on.

    Attributes:
        pulled: the values, and the bytes of the rows that the copy did not have.
        positions: for each table the positions of the rows in its row copy.
    """

    pulled: Pull
    positions: Values


class WindowMoves:
    """The moves of the steps of a window, in one trace of a worker's function.

    Attributes:
        step: what a step is made of.
    """

    def __init__(self, moves: Moves) -> None:
        """Take the moves of single steps."""
        step = moves.step
        assert step.window is not None
        assert step.replica is not None
        self._moves = moves
        self.step = step
        self._window = step.window
        self._replica: Replica = step.replica
        self._copies: VariableMap[RowCopy] = VariableMap(
            (copy.table, copy) for copy in step.row_copies
        )

    def pull(self) -> Pull:
        """Pull, and start the copy from the pulled values; an elastic copy goes on as it is."""
        pulled = self._moves.pull_whole()
        for copy in self._copies.values():
            copy.clear()
        kept = []
        if self._window.keeps_copy:
            kept = [v for parts in self.step.optimizers for v in self._whole(parts)]
        self._replica.load(pulled.whole, keep=kept)
        return pulled

    def _whole(self, optimizer: StepApply) -> list[keras.Variable]:
        """Return the variables of an optimizer that are copied whole."""
        copied = VariableSet(self.step.whole)
        return [v for v in optimizer.variables if v in copied]

    def look_up(self, batch: Any) -> WindowInputs:
        """Return what a step on `batch` computes on; pull the rows that the copy does not have."""
        demand, moves = self.step.demand, self._moves
        nothing = tf.zeros([moves.wire.num_ps, 2], tf.int64)
        pulled = Pull(
            whole=self._replica.read(),
            rows=VariableMap(),
            requests=[],
            received_bytes=nothing,
            sent_bytes=nothing,
        )
        positions: Values = VariableMap()
        for table, lookups in zip(demand.tables, demand.row_ids(batch), strict=True):
            rows, positions[table], new = self._copies[table].look_up(lookups, moves.wire)
            pulled = dataclasses.replace(
                pulled,
                rows=pulled.rows | VariableMap([(table, rows)]),
                received_bytes=pulled.received_bytes + new.received_bytes,
                sent_bytes=pulled.sent_bytes + new.sent_bytes,
            )
        return WindowInputs(pulled=pulled, positions=positions)

    def compute(self, batch: Any, inputs: WindowInputs, metrics: Sequence[tf.Tensor]) -> Computed:
        """Run the model on `batch`."""
        inline = _WindowInline(self, inputs)
        return self._moves.compute(batch, inputs.pulled, metrics, inline)

    def metrics(self, computed: Computed) -> list[tf.Tensor]:
        """Return the metric state after a step."""
        return self._moves.metrics(computed)

    def follow(self, computed: Computed, inputs: WindowInputs) -> tf.Tensor:
        """Apply the step to the copy; return the number of dropped updates, int64.

        With a loss scale, gradients that are not finite are dropped, and the scale is lowered.
        """
        self._replica.write(VariableMap((v, computed.values[v]) for v in self.step.written))
        dropped = tf.zeros([], tf.int64) if computed.sums is None else computed.sums[0, 0, 0]
        for applied in computed.applied:
            dropped += self.apply(applied, inputs)
        return dropped

    def apply(self, applied: Applied, inputs: WindowInputs) -> tf.Tensor:
        """Apply gradients to the copy; return the number of dropped updates, int64."""
        ps_optimizer = self.step.calls[applied.number].optimizer
        values = inputs.pulled.whole | applied.counters
        gradients = ps_optimizer.unscaled(applied.gradients, values)

        def step() -> tf.Tensor:
            clipped = ps_optimizer.clipped(gradients)
            rows: list[RowUpdate] = [
                copy.update(inputs.positions[table], clipped[table])
                for table, copy in self._copies.items()
                if table in clipped
            ]
            whole = VariableMap((v, g) for v, g in clipped.items() if v not in self._copies)
            self._replica.apply(ps_optimizer, whole, rows)
            return tf.zeros([], tf.int64)

        def drop() -> tf.Tensor:
            assert ps_optimizer.loss_scale is not None
            self._replica.write(ps_optimizer.loss_scale.lowered(values))
            return tf.ones([], tf.int64)

        good = ps_optimizer.are_good(gradients)
        return step() if good is None else tf.cond(good, step, drop)

    def write_inline(self, call: StepApply) -> None:
        """Write to the copy what the step has assigned to variables that a call changes."""
        variables = self.step.variables
        written = [v for v in self.step.written if v in call.call.written]
        self._replica.write(VariableMap((v, variables.read(v)) for v in written))

    def read_inline(self, call: StepApply, inputs: WindowInputs) -> None:
        """Read from the copy what a call has changed, and the step uses."""
        variables = self.step.variables
        for variable in call.call.used:
            copy = self._copies.get(variable)
            if copy is None:
                value = self._replica.value(variable)
            else:
                value = copy.rows(inputs.positions[variable])
            variables.load(VariableMap([(variable, value)]))

    def push(self, pulled: Pull) -> Pushed:
        """Send how the copy differs from `pulled`; the outer optimizer applies it on the ps."""
        share = 1 / self.step.num_workers
        # What an optimizer updates is pushed with what it has made of it.
        optimized = VariableSet(v for parts in self.step.optimizers for v in self._whole(parts))
        sums = VariableSet(self.step.demand.sums)
        moved = [
            (v, self._moved(v, pulled) * (1 if v in sums else tf.cast(share, v.dtype)))
            for v in self.step.moved
            if v not in optimized
        ]
        counted = [(v, self._moved(v, pulled)) for v in self.step.global_steps]
        assigned = [(v, self._replica.value(v)) for v in self.step.assigned]
        differs = VariableMap(
            (v, tf.reduce_any(tf.not_equal(value, pulled.whole[v]))) for v, value in assigned
        )
        pushed = written = push_written([*moved, *counted], assigned, self._moves.wire, differs)
        for optimizer in self.step.optimizers:
            pushed += self._push(optimizer, pulled, written, share)
        return pushed

    def _push(self, optimizer: StepApply, pulled: Pull, written: Pushed, share: float) -> Pushed:
        """Push one optimizer's differences; the outer gradient is the negative difference."""
        moves, scale = self._moves, optimizer.optimizer.loss_scale
        if scale is not None:
            scale.assign(VariableMap((v, self._replica.value(v)) for v in scale.variables))
        backwards = VariableMap((v, -self._moved(v, pulled)) for v in self._whole(optimizer))
        if self._window.keeps_copy:
            pushed_share = self._window.pushed_share
            backwards = VariableMap((v, g * pushed_share) for v, g in backwards.items())
            own = VariableMap((v, self._replica.value(v)) for v in backwards)
            self._replica.write(VariableMap((v, own[v] + g) for v, g in backwards.items()))
        rows: list[tuple[RowRequest, tf.Tensor]] = []
        slots: list[tuple[RowRequest, tf.Tensor]] = []
        for copy in self._copies.values():
            if any(copy.table is v for v in optimizer.variables):
                of_table, *of_slots = copy.decreases()
                rows.append((of_table[0], of_table[1] * self._window.pushed_share))
                slots.extend((request, -decrease * share) for request, decrease in of_slots)
        pushed = push_row_differences(slots, moves.wire)
        whole = list(backwards.items())
        return pushed + deliver(
            optimizer.dense,
            whole,
            rows,
            pulled,
            moves.wire,
            optimizer.codec_state,
            moves.worker,
            after=written,
            paced=moves.paced,
        )

    def _moved(self, variable: keras.Variable, pulled: Pull) -> tf.Tensor:
        return self._replica.value(variable) - pulled.whole[variable]


class _WindowInline(InlineApply):
    """Applies the gradients in the middle of a computation to the copy; in one trace."""

    def __init__(self, moves: WindowMoves, inputs: WindowInputs) -> None:
        self._moves = moves
        self._passed_in = inputs
        self._state = moves.step.inline_state

    @override
    def begin(self) -> None:
        self._state.begin({})

    @override
    def apply(self, applied: Applied) -> None:
        call = self._moves.step.calls[applied.number]
        self._moves.write_inline(call)
        dropped = self._moves.apply(applied, self._passed_in)
        self._state.add(dropped=dropped)
        self._moves.read_inline(call, self._passed_in)

    @override
    def end(self) -> tf.Tensor | None:
        return self._state.sums()
