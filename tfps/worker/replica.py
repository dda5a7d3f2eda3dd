"""Replica: a worker's own values of the parameters, which follow its own gradients.

A replica takes the steps of the optimizer with slot variables of its own. These begin with those on
the ps, and have only seen the gradients of their worker since.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import keras
import tensorflow as tf

from tfps.optimizer.apply import PsOptimizer
from tfps.optimizer.views import WorkerView
from tfps.params.variable_map import Values, VariableMap, VariableSet
from tfps.transport.pull import pulling
from tfps.worker.per_worker import WorkerVariables
from tfps.worker.row_copy import RowUpdate


class Replica:
    """The values that one worker has for itself; they lie in variables on the worker."""

    def __init__(
        self,
        variables: Sequence[keras.Variable],
        optimizers: Iterable[PsOptimizer],
        tables: Sequence[keras.Variable],
    ) -> None:
        """Describe what to keep.

        Args:
            variables: whose whole values are kept, those of the counters among them.
            optimizers: those that train them.
            tables: those tables whose slot variables are not kept.
        """
        self._variables = list(variables)
        self._index = VariableMap((v, index) for index, v in enumerate(self._variables))
        self._slots = {made: _OwnSlots(made, tables) for made in optimizers}
        self._values = WorkerVariables(self._make)
        self._runs = 0
        self._begun = WorkerVariables(_false, version=lambda: self._runs)

    def prepare(self) -> None:
        """Prepare for a trace; to be called at the top of a worker's function."""
        self._values.begin()
        self._begun.begin()
        for slots in self._slots.values():
            slots.prepare()

    def forget(self) -> None:
        """Have all workers' `begin` replace all values, once; to be called on the chief."""
        self._runs += 1

    def begin(self, values: Values, keep: Sequence[keras.Variable]) -> None:
        """Replace all values, but those to keep only at the first time."""
        kept = VariableSet(keep)
        self.write(VariableMap((v, value) for v, value in values.items() if v not in kept))
        if not kept:
            return
        begun = self._begun.read(0, tf.bool, [])
        self._begun.write(0, tf.constant(True))
        for variable in kept:
            value = tf.where(begun, self.value(variable), values[variable])
            self.write(VariableMap([(variable, value)]))

    def read(self) -> Values:
        """Return the values of all variables, on the worker."""
        return VariableMap((variable, self.value(variable)) for variable in self._variables)

    def value(self, variable: keras.Variable) -> tf.Tensor:
        """Return the value of one variable."""
        return self._values.read(self._index[variable], variable.dtype, variable.shape)

    def write(self, values: Values) -> None:
        """Replace the values of some variables."""
        for variable, value in values.items():
            self._values.write(self._index[variable], value)

    def count(self, made: PsOptimizer) -> None:
        """Count one batch in the global step, and for the own slot variables."""
        self._slots[made].count()
        step = made.global_step
        self.write(VariableMap([(step, self.value(step) + 1)]))

    def follow(self, made: PsOptimizer, gradients: Values, rows: Sequence[RowUpdate] = ()) -> None:
        """Take a step of an optimizer, and count it.

        Args:
            made: the optimizer.
            gradients: by the whole values, as they would be pushed.
            rows: gradients by rows that the worker has for itself, too.
        """
        counters = VariableMap((v, self.value(v)) for v in made.counters)
        trained = [v for v in self._variables if v in gradients]
        pairs = [(v, gradients[v]) for v in trained]
        views = VariableMap((v, WorkerView(v, self.value(v))) for v in trained)
        self._slots[made].update(made, pairs, views, counters, rows)
        self.write(VariableMap((v, views[v].read()) for v in gradients if v in self._index))
        if made.loss_scale is not None:
            self.write(made.loss_scale.raised(counters))
        self.count(made)

    def _make(self) -> list[tf.Variable]:
        return [
            tf.Variable(tf.zeros(tuple(v.shape), v.dtype), trainable=False) for v in self._variables
        ]


def _false() -> list[tf.Variable]:
    return [tf.Variable(False, trainable=False)]


class _OwnSlots:
    """A worker's own slot variables of one optimizer, and how many batches they have seen."""

    def __init__(self, made: PsOptimizer, tables: Sequence[keras.Variable]) -> None:
        self._slots = made.slots(except_of=tables)
        self._global_step = made.global_step
        self._pull = pulling(self._slots)
        self._variables = WorkerVariables(self._make)

    def prepare(self) -> None:
        self._variables.begin()

    def update(
        self,
        made: PsOptimizer,
        gradients: Sequence[tuple[keras.Variable, tf.Tensor]],
        views: VariableMap[WorkerView],
        counters: Values,
        rows: Sequence[RowUpdate],
    ) -> None:
        slots = VariableMap(
            (slot, WorkerView(slot, self._variables.read(index, slot.dtype, slot.shape)))
            for index, slot in enumerate(self._slots, start=1)
        )
        own_step = self._variables.read(0, tf.int64, [])
        of_rows = VariableMap(item for row in rows for item in row.views.items())
        pairs = [*gradients, *((row.table, row.gradient) for row in rows)]
        made.update_on_worker(pairs, views | slots | of_rows, counters, own_step)
        for row in rows:
            row.write()
        for index, slot in enumerate(self._slots, start=1):
            self._variables.write(index, slots[slot].read())

    def count(self) -> None:
        self._variables.write(0, self._variables.read(0, tf.int64, []) + 1)

    def _make(self) -> list[tf.Variable]:
        """Make a worker's variables: the count, and the slots as they are on the ps."""
        values = self._pull() if self._slots else []
        # Where all of them are new, they are new to the optimizer's count, too.
        trained = any(int(tf.math.count_nonzero(value)) for value in values)
        steps = int(self._global_step.numpy()) if trained or not values else 0
        return [
            tf.Variable(value, trainable=False) for value in [tf.constant(steps, tf.int64), *values]
        ]
