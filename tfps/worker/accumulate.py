"""Gradient accumulation: a worker adds up the gradients of several batches before it pushes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import keras
import tensorflow as tf

from tfps.params.variable_map import Values, VariableMap, VariableSet
from tfps.transport.rows import RowRequest, request_rows
from tfps.worker.per_worker import WorkerVariables


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gradients:
    """Gradients of one or more batches.

    Attributes:
        whole: the gradients by the whole values of variables.
        ids: for each table the unique rows, int64.
        rows: for each table the gradients by these rows.
    """

    whole: Values
    ids: Values
    rows: Values


class Accumulator:
    """The sums of gradients of one optimizer, in variables on each worker.

    Each worker counts its own batches, so that all workers together make as many updates as one
    machine. If a worker is lost, its sums are lost.
    """

    def __init__(
        self,
        steps: int,
        variables: Sequence[keras.Variable],
        tables: Sequence[keras.Variable],
        global_step: keras.Variable,
    ) -> None:
        """Describe the sums.

        Args:
            steps: the number of batches in an update.
            variables: the variables of the optimizer.
            tables: the tables of the model that are pulled by row.
            global_step: the number of batches so far, at which a resumed training starts.
        """
        by_row = VariableSet(tables)
        self._steps = steps
        self._whole = [v for v in variables if v not in by_row]
        self._tables = [v for v in variables if v in by_row]
        self._global_step = global_step
        self._variables = WorkerVariables(self._make)

    def prepare(self) -> None:
        """Prepare for a trace; to be called at the top of a worker's function."""
        self._variables.prepare()

    def is_last(self) -> tf.Tensor:
        """Count one batch; return whether it is the last one of an update, a bool scalar."""
        number = self._variables.read(0, tf.int64, []) + 1
        self._variables.write(0, number)
        return number % self._steps == 0

    def add(self, gradients: Gradients) -> None:
        """Add the gradients of a batch to the sums."""
        for index, variable in enumerate(self._whole, start=1):
            if variable in gradients.whole:
                so_far = self._variables.read(
                    index, gradients.whole[variable].dtype, variable.shape
                )
                self._variables.write(index, so_far + gradients.whole[variable])
        for index, table in self._indexed_tables():
            if table in gradients.rows:
                ids, rows = self._joined(index, table, gradients)
                self._variables.write(index, ids)
                self._variables.write(index + 1, rows)

    def take(self, gradients: Gradients) -> Gradients:
        """Return the mean of the sums and these gradients, and reset the sums."""
        whole = VariableMap(gradients.whole)
        all_ids: Values = VariableMap()
        all_rows: Values = VariableMap()
        for index, variable in enumerate(self._whole, start=1):
            if variable in whole:
                so_far = self._variables.read(index, whole[variable].dtype, variable.shape)
                self._variables.write(index, tf.zeros_like(so_far))
                whole[variable] = (so_far + whole[variable]) / self._steps
        for index, table in self._indexed_tables():
            if table in gradients.rows:
                ids, rows = self._joined(index, table, gradients)
                self._variables.write(index, ids[:0])
                self._variables.write(index + 1, rows[:0])
                unique, inverse = tf.unique(ids, out_idx=tf.int32)
                all_ids[table] = unique
                summed = tf.math.unsorted_segment_sum(rows, inverse, tf.size(unique))
                all_rows[table] = summed / self._steps
        return Gradients(whole=whole, ids=all_ids, rows=all_rows)

    def _joined(
        self, index: int, table: keras.Variable, gradients: Gradients
    ) -> tuple[tf.Tensor, tf.Tensor]:
        rows = gradients.rows[table]
        ids_before = self._variables.read(index, tf.int64, [None])
        rows_before = self._variables.read(index + 1, rows.dtype, [None, *table.shape[1:]])
        joined = tf.concat([ids_before, gradients.ids[table]], axis=0)
        return joined, tf.concat([rows_before, rows], axis=0)

    def _indexed_tables(self) -> list[tuple[int, keras.Variable]]:
        first = 1 + len(self._whole)
        return [(first + 2 * i, table) for i, table in enumerate(self._tables)]

    def _make(self) -> list[tf.Variable]:
        """Make a worker's variables: the count, the sums, and the ids and rows of each table."""
        batches = int(self._global_step.numpy()) % self._steps
        variables = [tf.Variable(batches, dtype=tf.int64, trainable=False)]
        variables += [
            tf.Variable(tf.zeros(tuple(v.shape), v.dtype), trainable=False) for v in self._whole
        ]
        for table in self._tables:
            width = tuple(table.shape[1:])
            no_ids, no_rows = tf.zeros([0], tf.int64), tf.zeros([0, *width], table.dtype)
            variables.append(tf.Variable(no_ids, shape=[None], trainable=False))
            variables.append(tf.Variable(no_rows, shape=[None, *width], trainable=False))
        return variables


def requests_for(gradients: Gradients, requests: Sequence[RowRequest]) -> list[RowRequest]:
    """Return requests for the rows to which `gradients` belong."""
    return [
        request_rows(request.variable, [gradients.ids[request.variable]])
        if request.variable in gradients.ids
        else request
        for request in requests
    ]
