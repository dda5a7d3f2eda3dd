"""Rows of tables: which unique rows a batch needs, and on which ps they are."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from tfps.params.shards import Shard, shards, updated_parts


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rows:
    """The pulled rows of one table.

    Attributes:
        values: the unique rows, of shape `(num_unique, *width)`.
        inverse: for each lookup of the step, positions in `values`, of the lookup's shape.
    """

    values: tf.Tensor
    inverse: Sequence[tf.Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowRequest:
    """The unique rows of one table that a batch needs, and on which shards they are.

    Attributes:
        variable: the table, of shape `(rows, *width)`.
        inverse: for each lookup of the batch, positions in the unique rows, of the lookup's shape.
        ids: the indices of the unique rows, int64.
        ids_in_shards: for each shard, the indices of its requested rows in the shard, int32.
        positions: for each shard, the positions of its rows among the unique rows, int32.
        parts: the shards.
    """

    variable: keras.Variable
    inverse: list[tf.Tensor]
    ids: tf.Tensor
    ids_in_shards: list[tf.Tensor]
    positions: list[tf.Tensor]
    parts: Sequence[Shard]

    def stitched(self, received: Mapping[Shard, tf.Tensor]) -> tf.Tensor:
        """Return the unique rows, of shape `(num_unique, *width)`, from those of each shard."""
        by_shard = [received[shard] for shard in self.parts]
        return by_shard[0] if len(by_shard) == 1 else tf.dynamic_stitch(self.positions, by_shard)

    def split(self, rows: tf.Tensor) -> list[tf.Tensor]:
        """Split the unique rows, or their gradients, by shard."""
        if len(self.positions) == 1:
            return [rows]
        return [tf.gather(rows, positions) for positions in self.positions]

    def for_update(self) -> RowRequest:
        """Return the request by the parts that are updated: all rows of one if it is the whole."""
        parts = updated_parts(self.variable)
        if len(parts) == len(self.parts):
            return self
        ids, positions = tf.cast(self.ids, tf.int32), tf.range(tf.size(self.ids))
        return dataclasses.replace(self, ids_in_shards=[ids], positions=[positions], parts=parts)


def request_rows(table: keras.Variable, lookups: Sequence[tf.Tensor]) -> RowRequest:
    """Return the request for the unique rows of `table` in `lookups`, int tensors of any shapes.

    An id below 0 counts from the end of the table, as in `keras.ops.take`.
    """
    num_rows = table.shape[0]
    flat = tf.concat([tf.reshape(tf.cast(ids, tf.int64), [-1]) for ids in lookups], axis=0)
    flat = tf.where(flat < 0, flat + num_rows, flat)
    unique, inverse = tf.unique(flat, out_idx=tf.int32)
    split = shards(table)
    if len(split) == 1:
        ids_in_shards, positions = [tf.cast(unique, tf.int32)], [tf.range(tf.size(unique))]
    else:
        starts = tf.constant([shard.first_row for shard in split], tf.int64)
        owner = tf.searchsorted(starts, unique, side="right") - 1
        in_shard = tf.cast(unique - tf.gather(starts, tf.maximum(owner, 0)), tf.int32)
        owner = tf.clip_by_value(owner, 0, len(split) - 1)
        ids_in_shards = tf.dynamic_partition(in_shard, owner, len(split))
        positions = tf.dynamic_partition(tf.range(tf.size(unique)), owner, len(split))
    return RowRequest(
        variable=table,
        inverse=_per_lookup(inverse, lookups),
        ids=unique,
        ids_in_shards=ids_in_shards,
        positions=positions,
        parts=split,
    )


def _per_lookup(inverse: tf.Tensor, lookups: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    sizes = [tf.size(ids) for ids in lookups]
    pieces = [inverse] if len(sizes) == 1 else tf.split(inverse, tf.stack(sizes), num=len(sizes))
    shaped = [tf.reshape(piece, tf.shape(ids)) for piece, ids in zip(pieces, lookups, strict=True)]
    for piece, ids in zip(shaped, lookups, strict=True):
        piece.set_shape(ids.shape)
    return shaped


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardRows:
    """The requested rows of one shard.

    Attributes:
        variable: the table.
        shard: the shard.
        ids: the indices of the rows in the shard, int32, on the worker.
    """

    variable: keras.Variable
    shard: Shard
    ids: tf.Tensor


def rows_by_ps(requests: Sequence[RowRequest]) -> dict[int, list[ShardRows]]:
    """Return the requested rows of each ps, by its index, in the order of the requests."""
    by_ps: dict[int, list[ShardRows]] = collections.defaultdict(list)
    for request in requests:
        for shard, ids in zip(request.parts, request.ids_in_shards, strict=True):
            by_ps[shard.ps].append(ShardRows(variable=request.variable, shard=shard, ids=ids))
    return dict(by_ps)
