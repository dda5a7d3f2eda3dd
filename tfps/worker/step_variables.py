"""Step variables: variables of a worker that stand for parameters while a step runs."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from tfps.params.variable_map import Values, VariableMap, VariableSet
from tfps.worker.per_worker import WorkerVariables


class StepVariables:
    """A variable on each worker for each of some parameters.

    So a step can assign to it, and read it again, as it is written: in branches and loops too. For
    a table that is pulled by row, it holds the pulled rows.
    """

    def __init__(
        self, variables: Sequence[keras.Variable], tables: Sequence[keras.Variable] = ()
    ) -> None:
        """Take the parameters, and those of them of which it holds rows."""
        self._variables = list(variables)
        by_row = VariableSet(tables)
        self._shapes = VariableMap(
            (v, (None, *v.shape[1:]) if v in by_row else tuple(v.shape)) for v in self._variables
        )
        # A layer with mixed precision sees its variables in another dtype while it is called.
        self._dtypes = VariableMap((v, tf.as_dtype(v.dtype)) for v in self._variables)
        # Of each: what it holds, what the ps are known to hold, and whether it was assigned to.
        self._places = VariableMap((v, 3 * i) for i, v in enumerate(self._variables))
        self._values = WorkerVariables(self._make)

    def __contains__(self, variable: keras.Variable) -> bool:
        return variable in self._places

    def prepare(self) -> None:
        """Prepare for a trace; to be called at the top of a worker's function."""
        self._values.prepare()

    def load(self, values: Values) -> None:
        """Set variables to what was pulled for them."""
        for variable, value in values.items():
            index = self._places[variable]
            self._values.write(index, value)
            self._values.write(index + 1, value)
            self._values.write(index + 2, tf.constant(False))

    def read(self, variable: keras.Variable) -> tf.Tensor:
        """Return what a variable holds."""
        return self._read(variable, 0)

    def base(self, variable: keras.Variable) -> tf.Tensor:
        """Return what was pulled last for a variable."""
        return self._read(variable, 1)

    def is_assigned(self, variable: keras.Variable) -> tf.Tensor:
        """Return whether a variable was assigned to since it was pulled, a bool scalar."""
        return self._values.read(self._places[variable] + 2, tf.bool, [])

    def assign(self, variable: keras.Variable, value: tf.Tensor) -> None:
        """Assign to a variable."""
        index = self._places[variable]
        self._values.write(index, tf.cast(value, self._dtypes[variable]))
        self._values.write(index + 2, tf.constant(True))

    def _read(self, variable: keras.Variable, offset: int) -> tf.Tensor:
        index = self._places[variable] + offset
        return self._values.read(index, self._dtypes[variable], self._shapes[variable])

    def _make(self) -> list[tf.Variable]:
        made = []
        for variable in self._variables:
            shape = self._shapes[variable]
            zeros = tf.zeros([size or 0 for size in shape], self._dtypes[variable])
            made += [tf.Variable(zeros, shape=shape, trainable=False) for _ in range(2)]
            made.append(tf.Variable(False, trainable=False))
        return made
