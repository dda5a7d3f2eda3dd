"""What the calls of `apply` in the middle of a step keep on the worker while the step runs."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfps.step.calls import StepApply
from tfps.transport.pull import Versions
from tfps.update.effect import Effect
from tfps.worker.per_worker import WorkerVariables


class Turn(enum.IntEnum):
    """Where a call stands whose pushes the ps answer, one answer for each."""

    HELD = 0
    """It has not run in this step, and holds the answer to the last push."""
    RAN = 1
    """It has run, and holds the answer to its push."""
    PASSED = 2
    """It has told the ps that nothing comes, and has not taken their answer."""


class InlineState:
    """The turns of calls, the versions at which their next push starts, and what was sent.

    Attributes:
        calls: the calls, in order.
    """

    def __init__(self, calls: Sequence[StepApply], num_ps: int) -> None:
        """Take the calls, and the number of ps."""
        self.calls = list(calls)
        self._ps = num_ps
        effects = [effect for call in calls for effect in call.effects]
        keys = [(effect, ps) for effect in effects for ps in effect.versioned]
        self._places = {key: 1 + len(self.calls) + i for i, key in enumerate(keys)}
        self._variables = WorkerVariables(self._make)

    def prepare(self) -> None:
        """Prepare for a trace; to be called at the top of a worker's function."""
        self._variables.prepare()

    def begin(self, start: Mapping[Any, Versions]) -> None:
        """Begin a step, which starts at these versions of effects."""
        if not self.calls:
            return
        self._variables.write(0, tf.zeros([self._ps + 1, 2, 2], tf.int64))
        for call in self.calls:
            self.set_turn(call, Turn.HELD)
            self.set_versions({e: start[e] for e in call.effects if e in start})

    def turn(self, call: StepApply) -> tf.Tensor:
        """Return where a call stands, int64: see `Turn`."""
        return self._variables.read(1 + self.calls.index(call), tf.int64, [])

    def set_turn(self, call: StepApply, turn: Turn) -> None:
        """Set where a call stands."""
        self._variables.write(1 + self.calls.index(call), tf.constant(turn, tf.int64))

    def versions(self, call: StepApply) -> dict[Effect, Versions]:
        """Return the versions at which the next push of a call starts."""
        return {
            effect: {
                ps: self._variables.read(self._places[effect, ps], tf.int64, [])
                for ps in effect.versioned
            }
            for effect in call.effects
        }

    def set_versions(self, versions: Mapping[Any, Versions]) -> None:
        """Set the versions at which the next push of a call starts."""
        for effect, of_ps in versions.items():
            for ps, version in of_ps.items():
                self._variables.write(self._places[effect, ps], version)

    def add(self, traffic: tf.Tensor | int = 0, dropped: tf.Tensor | int = 0) -> None:
        """Add to `sums`.

        Args:
            traffic: bytes, int64, of shape `(num_ps, 2, 2)`: see `State.traffic`.
            dropped: the number of updates that were dropped, int64.
        """
        first = tf.reshape(tf.cast(dropped, tf.int64), [1, 1, 1]) * [[[1, 0], [0, 0]]]
        others = tf.broadcast_to(tf.cast(traffic, tf.int64), [self._ps, 2, 2])
        self._variables.write(0, self._sums() + tf.concat([first, others], axis=0))

    def sums(self) -> tf.Tensor | None:
        """Return what was added up in the step: int64, of shape `(1 + num_ps, 2, 2)`.

        `[0, 0, 0]` is the number of updates that were dropped, `[1:]` the bytes. None if there are
        no calls.
        """
        return self._sums() if self.calls else None

    def _sums(self) -> tf.Tensor:
        return self._variables.read(0, tf.int64, [self._ps + 1, 2, 2])

    def _make(self) -> list[tf.Variable]:
        sums = tf.zeros([self._ps + 1, 2, 2], tf.int64)
        zero = tf.zeros([], tf.int64)
        scalars = [tf.Variable(zero, trainable=False) for _ in [*self.calls, *self._places]]
        return [tf.Variable(sums, trainable=False), *scalars]
