"""Many steps in one function: one after the other, or with the moves of three of them at a time."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import tensorflow as tf

from tfps.step.compute import Computed, ComputeFunction
from tfps.step.moves import Moves
from tfps.step.pull import Pull, asked_again
from tfps.step.tree import take_apart

_OWN_STEPS_UNDER_WAY = 2


class State(NamedTuple):
    """What goes from step to step, and is returned after the last.

    Attributes:
        metrics: the metric state.
        dropped: how many updates were dropped since their gradients were not finite, int64.
        traffic: bytes, int64, of shape `(num_ps, 2, 2)`: of each ps, pulled and pushed, before and
            after coding.
        output: the last step's output, if it is wanted.
    """

    metrics: list[tf.Tensor]
    dropped: tf.Tensor
    traffic: tf.Tensor
    output: Any


def in_turn(moves: Moves, iterator: Any, steps: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
    """Run up to `steps` steps, each after the one before; return how many, and the last state."""

    def one_step(batch: Any, state: State) -> State:
        pulled = moves.pull(batch)
        computed = moves.compute(batch, pulled, state.metrics)
        pushed = moves.push(computed, pulled)
        sent_bytes = pulled.sent_bytes + pushed.sent_bytes
        return State(
            metrics=[computed.values[id(variable)] for variable in moves.step.metrics],
            dropped=state.dropped + pushed.dropped,
            traffic=state.traffic + tf.stack([pulled.received_bytes, sent_bytes], axis=1),
            output=() if state.output == () else computed.output,
        )

    def body(done: tf.Tensor, more: tf.Tensor, state: State) -> tuple[tf.Tensor, Any, State]:
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class _UnderWay:
    """What the overlapped loop carries.

    Attributes:
        done: how many steps have computed.
        batch: an optional batch, of the step that comes next.
        pulled: for that step.
        computed: what the step before gave, to be pushed.
        computed_with: what that step had pulled.
        state: without an output.
    """

    done: tf.Tensor
    batch: Any
    pulled: Pull
    computed: Computed
    computed_with: Pull
    state: State


def overlapped(
    moves: Moves, iterator: Any, steps: tf.Tensor, state: State
) -> tuple[tf.Tensor, State]:
    """Run up to `steps` steps; while one computes, the next pulls and the one before pushes.

    So what a step pulls lacks the updates of the two steps before it, of those that its own worker
    runs in the same call; at the end of the call all of them are pushed. The last step pulls once
    more, for nothing.
    """
    batch = iterator.get_next_as_optional()
    done, state = tf.cond(
        batch.has_value(),
        lambda: _overlapped(moves, iterator, batch, steps, state),
        lambda: (tf.zeros([], tf.int64), state),
    )
    return done, state


def _overlapped(
    moves: Moves, iterator: Any, batch: Any, steps: tf.Tensor, state: State
) -> tuple[tf.Tensor, State]:
    pulled, state = _pulled(moves, batch.get_value(), state)
    compute = ComputeFunction(moves.compute, batch.get_value(), pulled, state.metrics)
    first = _UnderWay(
        done=tf.zeros([], tf.int64),
        batch=batch,
        pulled=pulled,
        computed=compute.zeros(),
        computed_with=pulled,
        state=state._replace(output=()),
    )
    tensors, rebuild = take_apart(first)
    shapes = dataclasses.replace(first, computed=compute.placeholders())

    def body(*tensors: tf.Tensor) -> list[tf.Tensor]:
        last = rebuild(tensors)
        following = tf.cond(
            last.done + 1 < steps,
            iterator.get_next_as_optional,
            lambda: tf.experimental.Optional.empty(batch.element_spec),
        )
        more = following.has_value()
        next_batch = tf.cond(more, following.get_value, last.batch.get_value)
        # Traced before the push: its reads do not wait for what the push writes.
        pulled, state = _pulled(moves, next_batch, last.state)
        own = tf.minimum(last.done, _OWN_STEPS_UNDER_WAY)
        pulled_with = _with_own_steps(last.pulled, moves, own)
        computed = compute(last.batch.get_value(), pulled_with, state.metrics)
        state = _pushed(moves, last, state)
        metrics = [computed.values[id(variable)] for variable in moves.step.metrics]
        now = _UnderWay(
            done=last.done + 1,
            batch=following,
            pulled=pulled,
            computed=computed,
            computed_with=pulled_with,
            state=state._replace(metrics=metrics),
        )
        return take_apart(now)[0]

    tensors = tf.while_loop(
        lambda *tensors: rebuild(tensors).batch.has_value(),
        body,
        tensors,
        shape_invariants=[tensor.shape for tensor in take_apart(shapes)[0]],
        parallel_iterations=1,
    )
    last = rebuild(tensors)
    final = _pushed(moves, last, last.state)
    return last.done, final._replace(output=last.computed.output if state.output != () else ())


def _pulled(moves: Moves, batch: Any, state: State) -> tuple[Pull, State]:
    """Pull for a batch; what lies on the ps is left there, and asked for again by the push."""
    pulled = moves.pull(batch)
    traffic = tf.stack([pulled.received_bytes, pulled.sent_bytes], axis=1)
    return dataclasses.replace(pulled, sent=[]), state._replace(traffic=state.traffic + traffic)


def _pushed(moves: Moves, last: _UnderWay, state: State) -> State:
    """Push what the last step computed, if there was one."""

    def push() -> tuple[tf.Tensor, tf.Tensor]:
        asked = asked_again(last.computed_with)
        pushed = moves.push(last.computed, asked)
        return pushed.dropped, asked.sent_bytes + pushed.sent_bytes

    def nothing() -> tuple[tf.Tensor, tf.Tensor]:
        return tf.zeros_like(state.dropped), tf.zeros_like(state.traffic[:, 1])

    dropped, sent_bytes = tf.cond(last.done > 0, push, nothing)
    traffic = tf.stack([tf.zeros_like(sent_bytes), sent_bytes], axis=1)
    return state._replace(dropped=state.dropped + dropped, traffic=state.traffic + traffic)


def _with_own_steps(pulled: Pull, moves: Moves, own: tf.Tensor) -> Pull:
    """Count in the global step the worker's own steps that the pull came before."""
    counters = {id(variable) for variable in moves.step.global_steps}
    whole = [
        (variable, value + tf.cast(own, value.dtype) if id(variable) in counters else value)
        for variable, value in pulled.whole
    ]
    return dataclasses.replace(pulled, whole=whole)
