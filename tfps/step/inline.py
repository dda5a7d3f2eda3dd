"""Inline pushes: the calls of `apply` whose effect the rest of the step sees.

Such a call sends its gradients where it stands. What the step uses of the variables that it changes
then comes back from the ps, in the same round trip.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf
from typing_extensions import override

from tfps.params.variable_map import VariableMap, VariableSet
from tfps.step.calls import StepApply
from tfps.step.compute import Applied, InlineApply
from tfps.step.inline_state import Turn
from tfps.step.push import GradientPush, Pushed, push_written
from tfps.step.step import Step
from tfps.transport.messages import Wire
from tfps.transport.pull import Pull, pull


class InlinePush(InlineApply):
    """Pushes in the middle of a computation; in one trace of a worker's function.

    Under a policy that answers each push, a call holds an answer when the step begins. It gives it
    back with a push, or, if it does not run in a step, with a notice that nothing comes. The calls
    pass in their order: before one waits, the ps hear of those before it that did not run.
    """

    def __init__(self, step: Step, wire: Wire, worker: tf.Tensor, pulled: Pull) -> None:
        """Take the step, the wire, the worker's index, and what the step pulled."""
        self._step = step
        self._wire = wire
        self._worker = worker
        self._pulled = pulled
        self._state = step.inline_state

    @override
    def begin(self) -> None:
        self._state.begin(self._pulled.start_versions)

    @override
    def apply(self, applied: Applied) -> None:
        call = self._step.calls[applied.number]
        for earlier in self._state.calls[: self._state.calls.index(call)]:
            self._let_pass(earlier)
        self._take_turn(call)
        written = self._push_written(call)
        pulled = dataclasses.replace(
            self._pulled,
            whole=self._pulled.whole | applied.counters,
            start_versions={**self._pulled.start_versions, **self._state.versions(call)},
        )
        gradients = GradientPush(
            call=call,
            pulled=pulled,
            wire=self._wire,
            worker=self._worker,
            after=written,
            replica=self._step.replica,
        )
        self._add(gradients.push(applied))
        self._pull(call)

    @override
    def end(self) -> tf.Tensor | None:
        for call in self._state.calls:
            self._let_pass(call)
            self._give_back(call)
        return self._state.sums()

    def _push_written(self, call: StepApply) -> Pushed:
        """Push what the step has assigned so far to variables that a call changes."""
        step, variables = self._step, self._step.variables
        written = [v for v in step.written if v in call.call.written]
        values = VariableMap((v, variables.read(v)) for v in written)
        if step.replica is not None:
            step.replica.write(values)
        moved = [(v, values[v] - variables.base(v)) for v in step.moved if v in values]
        assigned = [(v, values[v]) for v in step.assigned if v in values]
        is_assigned = VariableMap((v, variables.is_assigned(v)) for v, _ in assigned)
        pushed = push_written(moved, assigned, self._wire, is_assigned)
        self._add(pushed)
        variables.load(values)
        return pushed

    def _pull(self, call: StepApply) -> None:
        """Pull what a call has changed, and the step uses."""
        step, used = self._step, call.call.used
        tables = [request for request in self._pulled.requests if request.variable in used]
        by_row = VariableSet(request.variable for request in tables)
        whole = [variable for variable in used if variable not in by_row]
        if step.replica is not None:
            step.variables.load(VariableMap((v, step.replica.value(v)) for v in whole))
            whole = []
        pulled = pull(
            whole,
            [(request.variable, [request.ids]) for request in tables],
            self._wire,
            {effect: effect.begin() for effect in call.effects},
            [v for v in whole if v is call.optimizer.global_step],
        )
        rows = VariableMap((table, of_table.values) for table, of_table in pulled.rows.items())
        step.variables.load(pulled.whole | rows)
        self._state.set_versions(pulled.start_versions)
        self._state.set_turn(call, Turn.RAN)
        self._state.add(pulled.traffic)

    def _add(self, pushed: Pushed) -> None:
        # What reads the sums waits for the receipts.
        with tf.control_dependencies(list(pushed.applied)):
            self._state.add(tf.identity(pushed.traffic), pushed.dropped)

    def _let_pass(self, call: StepApply) -> None:
        """Tell the ps that nothing comes of a call, if it has not run in this step."""
        if call.call.is_certain or not call.answered:
            return

        def skip() -> tf.Operation:
            for effect in call.answered:
                effect.skip(self._state.versions(call)[effect], self._worker)
            self._state.set_turn(call, Turn.PASSED)
            return tf.no_op()

        tf.cond(tf.equal(self._state.turn(call), Turn.HELD), skip, tf.no_op)

    def _take_turn(self, call: StepApply) -> None:
        """Wait for the answer to a notice that nothing came of a call, if there was one."""
        if call.call.is_certain or not call.answered:
            return

        def wait() -> tf.Operation:
            self._state.set_versions({effect: effect.begin() for effect in call.answered})
            return tf.no_op()

        tf.cond(tf.equal(self._state.turn(call), Turn.PASSED), wait, tf.no_op)

    def _give_back(self, call: StepApply) -> None:
        """Leave the answer that a call holds to the next step."""

        def give_back() -> tf.Operation:
            for effect in call.answered:
                effect.give_back(self._state.versions(call)[effect])
            return tf.no_op()

        if call.call.is_certain:
            give_back()
        elif call.answered:
            tf.cond(tf.equal(self._state.turn(call), Turn.RAN), give_back, tf.no_op)
