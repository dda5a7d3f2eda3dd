"""Metric state: each dispatch reports its part, and the chief keeps the sum."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np


class MetricSums:
    """The sum over all dispatches of the state of some metrics.

    Keras's metrics keep sums and counts. So the state over all examples is the sum of the states
    over any parts of them.
    """

    def __init__(self, variables: Sequence[keras.Variable]) -> None:
        """Start with the present values of `variables`, the metrics' state."""
        self._variables = list(variables)
        self.reset()

    def reset(self) -> None:
        """Forget all parts, and start again with the present values of the variables."""
        self._sums = [np.array(variable.numpy()) for variable in self._variables]

    def add(self, part: Sequence[np.ndarray]) -> None:
        """Add the state of one dispatch."""
        for total, value in zip(self._sums, part, strict=True):
            total += value

    def assign(self) -> None:
        """Assign the sums to the variables, where the metrics' `result` reads them."""
        for variable, total in zip(self._variables, self._sums, strict=True):
            variable.assign(total)
