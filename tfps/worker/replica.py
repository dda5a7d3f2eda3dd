"""Replica: a worker's own copy of the parameters, updated by its own gradients.

The optimizer updates the copy with a copy of its slot variables. This starts with the values on the
ps, and from then on only the gradients of its worker change it.
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
    """A copy of parameters, in variables on each worker."""

    def __init__(
        self,
        variables: Sequence[keras.Variable],
        optimizers: Iterable[PsOptimizer],
        tables: Sequence[keras.Variable],
    ) -> None:
        """Describe the copy.

        Args:
            variables: the parameters to copy whole, and the optimizers' counters.
            optimizers: the optimizers of the parameters.
            tables: the tables whose slot variables are not copied.
        """
        self._variables = list(variables)
        self._places = VariableMap((v, index) for index, v in enumerate(self._variables))
        self._slots = {optimizer: _SlotCopy(optimizer, tables) for optimizer in optimizers}
        self._values = WorkerVariables(self._make)
        self._runs = 0
        self._initialized = WorkerVariables(_false, version=lambda: self._runs)

    def prepare(self) -> None:
        """Prepare for a trace; to be called at the top of a worker's function."""
        self._values.prepare()
        self._initialized.prepare()
        for slots in self._slots.values():
            slots.prepare()

    def reset(self) -> None:
        """Let the next `load` of each worker replace all values; to be called on the chief."""
        self._runs += 1

    def load(self, values: Values, keep: Sequence[keras.Variable]) -> None:
        """Replace all values; those of the variables in `keep` only once after each `reset`."""
        kept = VariableSet(keep)
        self.write(VariableMap((v, value) for v, value in values.items() if v not in kept))
        if not kept:
            return
        initialized = self._initialized.read(0, tf.bool, [])
        self._initialized.write(0, tf.constant(True))
        for variable in kept:
            value = tf.where(initialized, self.value(variable), values[variable])
            self.write(VariableMap([(variable, value)]))

    def read(self) -> Values:
        """Return the values of all variables, on the worker."""
        return VariableMap((variable, self.value(variable)) for variable in self._variables)

    def value(self, variable: keras.Variable) -> tf.Tensor:
        """Return the value of one variable."""
        return self._values.read(self._places[variable], variable.dtype, variable.shape)

    def write(self, values: Values) -> None:
        """Replace the values of some variables."""
        for variable, value in values.items():
            self._values.write(self._places[variable], value)

    def count(self, optimizer: PsOptimizer, constrained: Iterable[keras.Variable] = ()) -> None:
        """Count one batch in the copy of the global step, and for the slot variables.

        Args:
            optimizer: the optimizer.
            constrained: the variables whose constraints are applied, as `PsOptimizer.count` does.
        """
        self._slots[optimizer].count()
        step = optimizer.global_step
        self.write(VariableMap([(step, self.value(step) + 1)]))
        for variable in constrained:
            if variable.constraint is not None and variable in self._places:
                value = variable.constraint(self.value(variable))
                self.write(VariableMap([(variable, value)]))

    def apply(
        self, optimizer: PsOptimizer, gradients: Values, rows: Sequence[RowUpdate] = ()
    ) -> None:
        """Update the copy by a step of an optimizer, and count the step.

        Args:
            optimizer: the optimizer.
            gradients: the gradients by the whole values, clipped.
            rows: the gradients by the rows in row copies.
        """
        counters = VariableMap((v, self.value(v)) for v in optimizer.counters)
        trained = [v for v in self._variables if v in gradients]
        pairs = [(v, gradients[v]) for v in trained]
        views = VariableMap((v, WorkerView(v, self.value(v))) for v in trained)
        self._slots[optimizer].update(optimizer, pairs, views, counters, rows)
        self.write(VariableMap((v, views[v].read()) for v in gradients if v in self._places))
        if optimizer.loss_scale is not None:
            self.write(optimizer.loss_scale.raised(counters))
        self.count(optimizer)

    def _make(self) -> list[tf.Variable]:
        return [
            tf.Variable(tf.zeros(tuple(v.shape), v.dtype), trainable=False) for v in self._variables
        ]


def _false() -> list[tf.Variable]:
    return [tf.Variable(False, trainable=False)]


class _SlotCopy:
    """A worker's copy of the slot variables of one optimizer, and the number of its updates."""

    def __init__(self, optimizer: PsOptimizer, tables: Sequence[keras.Variable]) -> None:
        self._slots = optimizer.slots(except_of=tables)
        self._global_step = optimizer.global_step
        self._pull = pulling(self._slots)
        self._variables = WorkerVariables(self._make)

    def prepare(self) -> None:
        self._variables.prepare()

    def update(
        self,
        optimizer: PsOptimizer,
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
        optimizer.update_on_worker(pairs, views | slots | of_rows, counters, own_step)
        for row in rows:
            row.write()
        for index, slot in enumerate(self._slots, start=1):
            self._variables.write(index, slots[slot].read())

    def count(self) -> None:
        self._variables.write(0, self._variables.read(0, tf.int64, []) + 1)

    def _make(self) -> list[tf.Variable]:
        """Make a worker's variables: the count, and the slot variables as they are on the ps."""
        values = self._pull() if self._slots else []
        # If all slot variables are zero, the bias correction has to start at zero updates, too.
        trained = any(int(tf.math.count_nonzero(value)) for value in values)
        steps = int(self._global_step.numpy()) if trained or not values else 0
        return [
            tf.Variable(value, trainable=False) for value in [tf.constant(steps, tf.int64), *values]
        ]
