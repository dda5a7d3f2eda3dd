"""The loss scale of a `LossScaleOptimizer`: halved where gradients overflow, doubled in time."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import tensorflow as tf

from tfps.optimizer.views import Values, view_of
from tfps.params.shards import native


class LossScale:
    """The dynamic loss scale of an optimizer; scale and step counter lie on a ps."""

    def __init__(self, optimizer: keras.optimizers.LossScaleOptimizer) -> None:
        """Take an optimizer that is built."""
        self._growth_steps = optimizer.dynamic_growth_steps
        self._scale = optimizer.dynamic_scale
        self._steps = optimizer.step_counter

    @property
    def variables(self) -> list[keras.Variable]:
        """What a worker pulls of it: the scale, and how many good steps it has seen."""
        return [self._scale, self._steps]

    def value(self, counters: Values) -> tf.Tensor:
        """Return the scale, among values by `id` of the variable."""
        return counters[id(self._scale)]

    def lowered(self, counters: Values) -> dict[int, tf.Tensor]:
        """Return the values after gradients that were not finite, by `id` of the variable."""
        steps = tf.zeros([], native(self._steps).dtype)
        return {id(self._scale): counters[id(self._scale)] * 0.5, id(self._steps): steps}

    def raised(self, counters: Values) -> dict[int, tf.Tensor]:
        """Return the values after gradients that were finite, by `id` of the variable."""
        scale, steps = counters[id(self._scale)], counters[id(self._steps)]
        full = steps >= self._growth_steps - 1
        return {
            id(self._scale): tf.where(full, scale * 2, scale),
            id(self._steps): tf.where(full, tf.zeros_like(steps), steps + 1),
        }

    def assign(self, values: Mapping[int, tf.Tensor]) -> None:
        """Write values on the ps."""
        for variable in self.variables:
            view_of(variable).assign(values[id(variable)])

    def add(self, values: Mapping[int, tf.Tensor], counters: Values, ps: int | None) -> None:
        """Add what values differ by from those that were pulled; on one ps, or on all.

        Not assigned: another worker may have lowered the scale meanwhile.
        """
        for variable in self.variables:
            view = view_of(variable)
            if ps in (None, view.shard.ps):
                view.assign_add(values[id(variable)] - counters[id(variable)])
