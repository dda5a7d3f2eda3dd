"""Windows: steps that a worker takes on a copy of its own, between one pull and one push.

What is between is a loop that no ps takes part in, but for rows of tables that the copy lacks.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfps.step.compute import ComputeFunction
from tfps.step.repeat import Batches, State
from tfps.step.window_moves import WindowMoves
from tfps.transport.tree import take_apart


class Windows:
    """Windows on the batches of an iterator; to be made in a worker's function."""

    def __init__(self, moves: WindowMoves, batches: Batches, most_steps: int) -> None:
        """Take the moves, the batches, and how many steps a window has at most."""
        self._moves = moves
        self._batches = batches
        self._most_steps = most_steps

    def run(self, state: State) -> tuple[tf.Tensor, State]:
        """Run all steps; return how many ran, and the state after them."""
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
        looked = self._moves.look_up(batch)
        compute = ComputeFunction(self._moves.compute, batch, looked, state.metrics)
        computed = compute(batch, looked, state.metrics)
        dropped = self._moves.follow(computed, looked)
        state = state.with_pull(looked.pulled)._replace(
            metrics=self._moves.metrics(computed),
            dropped=state.dropped + dropped,
            output=computed.output if state.has_output else (),
        )
        return done + 1, self._batches.after(done + 1), state

    def _while(self, body: Any, first: Any, more: Any) -> Any:
        """Repeat `body` while a batch follows, and `more` has it so."""
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
    """Return the shape that a tensor may have: an output begins with 0 where a size is unknown."""
    return tf.TensorShape([size or None for size in tensor.shape])
