"""Sums: gradients that wait on a ps until they take effect together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from tfps.params.shards import Shard
from tfps.params.variables import variables_on
from tfps.transport.delivery import Piece


class Sums:
    """The sums of gradients by the shards of one ps; rows are kept one by one until they are taken.

    To be used in functions that run on that ps, one at a time.
    """

    def __init__(self, ps: int, like: Sequence[Piece]) -> None:
        """Make the variables, on the ps of an index, for pieces like these."""
        self._whole: dict[Shard, tuple[Piece, tf.Variable]] = {}
        self._rows: dict[Shard, tuple[Piece, tf.Variable, tf.Variable]] = {}
        with variables_on(ps):
            for piece in like:
                shape, dtype = piece.shard.shape, piece.value.dtype
                if piece.ids is None:
                    self._whole[piece.shard] = piece, tf.Variable(tf.zeros(shape, dtype))
                    continue
                ids = tf.Variable(tf.zeros([0], tf.int32), shape=[None])
                rows = tf.Variable(tf.zeros([0, *shape[1:]], dtype), shape=[None, *shape[1:]])
                self._rows[piece.shard] = piece, ids, rows

    def add(self, pieces: Sequence[Piece]) -> None:
        """Add pieces of the kind that was announced."""
        for piece in pieces:
            if piece.ids is None:
                _, total = self._whole[piece.shard]
                total.assign_add(piece.value, read_value=False)
                continue
            _, ids, rows = self._rows[piece.shard]
            ids.assign(tf.concat([ids, piece.ids], axis=0), read_value=False)
            rows.assign(tf.concat([rows, piece.value], axis=0), read_value=False)

    def take(self, count: tf.Tensor) -> list[Piece]:
        """Return the sums over `count`, and begin anew."""
        taken = []
        for piece, total in self._whole.values():
            taken.append(dataclasses.replace(piece, value=_mean(total.read_value(), count)))
            total.assign(tf.zeros(total.shape, total.dtype), read_value=False)
        for piece, ids, rows in self._rows.values():
            unique, inverse = tf.unique(ids.read_value(), out_idx=tf.int32)
            summed = tf.math.unsorted_segment_sum(rows.read_value(), inverse, tf.size(unique))
            taken.append(dataclasses.replace(piece, ids=unique, value=_mean(summed, count)))
            ids.assign(tf.zeros([0], tf.int32), read_value=False)
            rows.assign(tf.zeros([0, *rows.shape[1:]], rows.dtype), read_value=False)
        return taken


def _mean(total: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    return total / tf.cast(count, total.dtype)
