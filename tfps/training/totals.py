"""Metric state: each dispatch brings its part, the chief keeps the sum."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np


class Totals:
    """The sum over all dispatches of the state of some metrics.

    Keras's metrics keep sums and counts, so that the state over all examples is the sum of the
    states over any parts of them.
    """

    def __init__(self, variables: Sequence[keras.Variable]) -> None:
        self._variables = list(variables)
        self.reset()

    def reset(self) -> None:
        """Forget all parts, and begin with what the variables hold now."""
        self._sums = [np.array(v.numpy()) for v in self._variables]

    def add(self, part: Sequence[np.ndarray]) -> None:
        """Add the variables' values of one dispatch."""
        for total, value in zip(self._sums, part, strict=True):
            total += value

    def show(self) -> None:
        """Put the sums into the variables, where the metrics' `result` finds them."""
        for variable, total in zip(self._variables, self._sums, strict=True):
            variable.assign(total)
