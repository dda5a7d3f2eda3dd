"""Row copies: a worker's own copy of rows of a table and their slots, until it pushes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import keras
import tensorflow as tf

from tfps.optimizer.views import WorkerView
from tfps.params.variable_map import VariableMap
from tfps.transport.messages import Wire
from tfps.transport.pull import Pull, pull
from tfps.transport.rows import RowRequest, Rows, request_rows
from tfps.worker.per_worker import WorkerVariables


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowUpdate:
    """An update of some rows of a row copy.

    Attributes:
        copy: the row copy.
        positions: the positions of the rows in the copy, int32.
        gradient: the gradient, of shape `(num_rows, *width)`.
        views: views of the rows, and of the same rows of the slot variables.
    """

    copy: RowCopy
    positions: tf.Tensor
    gradient: tf.Tensor
    views: VariableMap[WorkerView]

    @property
    def table(self) -> keras.Variable:
        """The table."""
        return self.copy.table

    def write(self) -> None:
        """Write the values of the views into the row copy."""
        self.copy.write(self.positions, self.views)


class RowCopy:
    """The rows of a table that a worker has pulled since `clear`, in variables on the worker.

    The slots of a row are pulled with it, and their differences are pushed with the row's.
    """

    def __init__(self, table: keras.Variable, slots: Sequence[keras.Variable]) -> None:
        """Take a table, and its slot variables of the same shape."""
        self.table = table
        self._tracks = [table, *slots]
        self._variables = WorkerVariables(self._make)

    def prepare(self) -> None:
        """Prepare for a trace; to be called at the top of a worker's function."""
        self._variables.prepare()

    def clear(self) -> None:
        """Remove all rows."""
        # Not zeros of static size: TensorFlow would infer the variable's shape from it.
        self._write_ids(self._ids()[:0])
        for index in range(len(self._tracks)):
            for base in (False, True):
                self._write(index, self._read(index, base=base)[:0], base=base)

    def look_up(self, lookups: Sequence[tf.Tensor], wire: Wire) -> tuple[Rows, tf.Tensor, Pull]:
        """Return the rows of lookups, their positions in the copy, and the pull of new rows."""
        request = request_rows(self.table, lookups)
        known = self._ids()
        # tf.unique keeps the order of first occurrence, so known rows keep their positions.
        ids, all_positions = tf.unique(tf.concat([known, request.ids], axis=0), out_idx=tf.int32)
        new, positions = ids[tf.size(known) :], all_positions[tf.size(known) :]
        pulled = pull([], [(track, [new]) for track in self._tracks], wire, {})
        self._write_ids(ids)
        for index, (_, rows) in enumerate(pulled.rows.items()):
            for base in (False, True):
                grown = tf.concat([self._read(index, base=base), rows.values], axis=0)
                self._write(index, grown, base=base)
        return Rows(values=self.rows(positions), inverse=request.inverse), positions, pulled

    def rows(self, positions: tf.Tensor) -> tf.Tensor:
        """Return the rows at some positions."""
        return tf.gather(self._read(0), positions)

    def update(self, positions: tf.Tensor, gradient: tf.Tensor) -> RowUpdate:
        """Return the update of some rows by a gradient, to be applied by an optimizer."""
        views = VariableMap(
            (track, WorkerView(track, tf.gather(self._read(index), positions)))
            for index, track in enumerate(self._tracks)
        )
        return RowUpdate(copy=self, positions=positions, gradient=gradient, views=views)

    def write(self, positions: tf.Tensor, views: VariableMap[WorkerView]) -> None:
        """Write new values of some rows, and of their slots."""
        for index, track in enumerate(self._tracks):
            updated = views[track].read()
            rows = tf.tensor_scatter_nd_update(self._read(index), positions[:, None], updated)
            self._write(index, rows)

    def decreases(self) -> list[tuple[RowRequest, tf.Tensor]]:
        """Return the pulled values minus the current ones: of all rows, then of their slots."""
        ids = self._ids()
        return [
            (request_rows(track, [ids]), self._read(index, base=True) - self._read(index))
            for index, track in enumerate(self._tracks)
        ]

    def _ids(self) -> tf.Tensor:
        return self._variables.read(0, tf.int64, [None])

    def _write_ids(self, ids: tf.Tensor) -> None:
        self._variables.write(0, ids)

    def _read(self, index: int, *, base: bool = False) -> tf.Tensor:
        track = self._tracks[index]
        shape = [None, *track.shape[1:]]
        return self._variables.read(1 + 2 * index + base, tf.as_dtype(track.dtype), shape)

    def _write(self, index: int, value: tf.Tensor, *, base: bool = False) -> None:
        self._variables.write(1 + 2 * index + base, value)

    def _make(self) -> list[tf.Variable]:
        variables = [tf.Variable(tf.zeros([0], tf.int64), shape=[None], trainable=False)]
        for track in self._tracks:
            width = tuple(track.shape[1:])
            for _ in range(2):
                no_rows = tf.zeros([0, *width], track.dtype)
                variables.append(tf.Variable(no_rows, shape=[None, *width], trainable=False))
        return variables
