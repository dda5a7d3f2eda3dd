"""Delivery: what one ps received of a push, until it is decoded there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfps.params.placement import ps_device
from tfps.params.shards import Shard
from tfps.transport.messages import Bundle
from tfps.transport.tree import take_apart
from tfps.wire.codec import Shape


@dataclasses.dataclass(frozen=True, kw_only=True)
class Piece:
    """A decoded gradient, or difference, on the ps of its shard.

    Attributes:
        variable: the whole variable.
        shard: the shard of it.
        value: of the shape of the shard, or of some of its rows.
        ids: these rows, unique int32; None is all of the shard.
    """

    variable: keras.Variable
    shard: Shard
    value: tf.Tensor
    ids: tf.Tensor | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Delivery:
    """What one ps received of a push, on that ps.

    Attributes:
        ps: the index of the ps.
        coded: bundles, each with the parts that its codec made of its tensors.
        ids: the rows that were sent, for each shard pulled by rows.
        variables: for each shard the whole variable.
        header: any structure of tensors that was sent with them.
    """

    ps: int
    coded: Sequence[tuple[Bundle, Sequence[tf.Tensor]]]
    ids: Mapping[Shard, tf.Tensor]
    variables: Mapping[Shard, keras.Variable]
    header: Any

    @property
    def tensors(self) -> list[tf.Tensor]:
        """All tensors that were sent, in an order that depends only on what was sent."""
        return take_apart(self._sent)[0]

    def with_tensors(self, tensors: Sequence[tf.Tensor]) -> Delivery:
        """Return a delivery of the same kind, with other `tensors`."""
        parts, ids, header = take_apart(self._sent)[1](tensors)
        bundles = [bundle for bundle, _ in self.coded]
        return dataclasses.replace(
            self, coded=list(zip(bundles, parts, strict=True)), ids=ids, header=header
        )

    @property
    def _sent(self) -> Any:
        return [list(parts) for _, parts in self.coded], dict(self.ids), self.header

    def decoded(self) -> list[Piece]:
        """Return the pieces of all shards."""
        return [
            Piece(
                variable=self.variables[shard],
                shard=shard,
                value=value,
                ids=self.ids.get(shard),
            )
            for bundle, parts in self.coded
            for shard, value in zip(bundle.shards, self._decode(bundle, parts), strict=True)
        ]

    def _decode(self, bundle: Bundle, parts: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        with tf.device(ps_device(self.ps)):
            shapes = [self._shape_of(shard) for shard in bundle.shards]
            return bundle.decode(parts, shapes)

    def _shape_of(self, shard: Shard) -> Shape:
        if shard not in self.ids:
            return shard.shape
        return (tf.size(self.ids[shard]), *shard.shape[1:])
