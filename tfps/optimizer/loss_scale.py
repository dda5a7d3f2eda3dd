"""The loss scale of a `LossScaleOptimizer`: halved on overflow, doubled after enough good steps."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfps.optimizer.views import view_of
from tfps.params.shards import native
from tfps.params.variable_map import Values, VariableMap


class LossScale:
    """The dynamic loss scale of an optimizer; the scale and its step counter are on a ps."""

    def __init__(self, optimizer: keras.optimizers.LossScaleOptimizer) -> None:
        """Take an optimizer that is built."""
        self._growth_steps = optimizer.dynamic_growth_steps
        self._scale = optimizer.dynamic_scale
        self._steps = optimizer.step_counter

    @property
    def variables(self) -> list[keras.Variable]:
        """The scale, and the number of good steps since it changed; a worker pulls both."""
        return [self._scale, self._steps]

    def value(self, counters: Values) -> tf.Tensor:
        """Return the scale among the values of the counters."""
        return counters[self._scale]

    def lowered(self, counters: Values) -> Values:
        """Return the values after gradients that were not finite."""
        steps = tf.zeros([], native(self._steps).dtype)
        return VariableMap([(self._scale, counters[self._scale] * 0.5), (self._steps, steps)])

    def raised(self, counters: Values) -> Values:
        """Return the values after gradients that were finite."""
        scale, steps = counters[self._scale], counters[self._steps]
        full = steps >= self._growth_steps - 1
        return VariableMap(
            [
                (self._scale, tf.where(full, scale * 2, scale)),
                (self._steps, tf.where(full, tf.zeros_like(steps), steps + 1)),
            ]
        )

    def assign(self, values: Values) -> None:
        """Write values on the ps."""
        for variable in self.variables:
            view_of(variable).assign(values[variable])

    def lower(self, counters: Values) -> None:
        """Lower the scale on its ps after gradients that were not finite.

        Workers whose gradients had the same scale lower it once.
        """
        lowered = self.lowered(counters)
        scale = view_of(self._scale)
        with tf.device(scale.device):
            scale.assign(tf.minimum(scale.read(), lowered[self._scale]))
        view_of(self._steps).assign(lowered[self._steps])

    def raise_(self) -> None:
        """Count finite gradients, and raise the scale after enough of them; on their ps.

        Nobody else may write at the same time.
        """
        self.assign(self.raised(VariableMap((v, view_of(v).read()) for v in self.variables)))
