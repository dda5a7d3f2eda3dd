"""A dispatch's report to the chief, in one tensor, and the sum of the metric state over reports.

Each tensor that the chief fetches is a call.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """A dispatch's report to the chief.

    Attributes:
        steps: the number of steps that ran.
        dropped: the number of updates dropped because gradients were not finite.
        missed: for each step, the number of updates by its own worker that its pull missed; their
            sum.
        traffic: bytes, int64, of shape `(num_ps, 2, 2)`: for each ps, pulled and pushed, before and
            after coding.
        metrics: the state of the metrics over these steps, in the order of their variables.
    """

    steps: int
    dropped: int
    missed: int
    traffic: np.ndarray
    metrics: list[np.ndarray]


class Format:
    """The layout of a report in a tensor of bytes; the number of steps comes first."""

    def __init__(self, num_ps: int, metrics: Sequence[keras.Variable]) -> None:
        """Describe a report on `num_ps` ps with the state of these variables."""
        numbers = [((), np.dtype(np.int64))] * 3 + [((num_ps, 2, 2), np.dtype(np.int64))]
        states = [(tuple(v.shape), tf.as_dtype(v.dtype).as_numpy_dtype) for v in metrics]
        self._parts = [*numbers, *((shape, np.dtype(dtype)) for shape, dtype in states)]

    def pack(
        self,
        steps: tf.Tensor,
        dropped: tf.Tensor,
        missed: tf.Tensor,
        traffic: tf.Tensor,
        metrics: Sequence[tf.Tensor],
    ) -> tf.Tensor:
        """Return the report as uint8, of shape `(bytes,)`; in a worker's function."""
        parts = [steps, dropped, missed, traffic, *metrics]
        return tf.concat([tf.reshape(tf.bitcast(t, tf.uint8), [-1]) for t in parts], axis=0)

    def read(self, packed: np.ndarray) -> Report:
        """Return the report that `pack` packed."""
        values, start = [], 0
        for shape, dtype in self._parts:
            end = start + math.prod(shape) * dtype.itemsize
            values.append(packed[start:end].view(dtype).reshape(shape))
            start = end
        steps, dropped, missed, traffic, *metrics = values
        return Report(
            steps=int(steps),
            dropped=int(dropped),
            missed=int(missed),
            traffic=traffic,
            metrics=metrics,
        )


def steps_of(packed: np.ndarray) -> int:
    """Return the number of steps of a packed report, without its format."""
    return int(packed[:8].view(np.int64)[0])


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
