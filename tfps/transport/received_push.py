"""What a ps receives of one push, and its gradients once they are decoded there."""

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
class ShardGradient:
    """A gradient by a shard, or a difference to be added to it, on the ps of the shard.

    Attributes:
        variable: the whole variable.
        shard: the shard.
        value: of the shape of the shard, or of some of its rows.
        ids: the indices of these rows in the shard, unique int32; None if it is the whole shard.
    """

    variable: keras.Variable
    shard: Shard
    value: tf.Tensor
    ids: tf.Tensor | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReceivedPush:
    """What one ps received of one push, on that ps.

    Attributes:
        ps: the index of the ps.
        coded: bundles, each with the encoded parts of its tensors.
        ids: for each shard of which only rows were sent, their indices in the shard.
        variables: for each shard the whole variable.
        header: any structure of tensors that was sent with the gradients.
    """

    ps: int
    coded: Sequence[tuple[Bundle, Sequence[tf.Tensor]]]
    ids: Mapping[Shard, tf.Tensor]
    variables: Mapping[Shard, keras.Variable]
    header: Any

    @property
    def tensors(self) -> list[tf.Tensor]:
        """All tensors that were sent, in an order that depends only on which shards were sent."""
        return take_apart(self._sent)[0]

    def with_tensors(self, tensors: Sequence[tf.Tensor]) -> ReceivedPush:
        """Return the push of the same shards whose `tensors` are these."""
        parts, ids, header = take_apart(self._sent)[1](tensors)
        bundles = [bundle for bundle, _ in self.coded]
        return dataclasses.replace(
            self, coded=list(zip(bundles, parts, strict=True)), ids=ids, header=header
        )

    @property
    def _sent(self) -> Any:
        return [list(parts) for _, parts in self.coded], dict(self.ids), self.header

    def decoded(self) -> list[ShardGradient]:
        """Return the gradients of all shards."""
        return [
            ShardGradient(
                variable=self.variables[shard], shard=shard, value=value, ids=self.ids.get(shard)
            )
            for bundle, parts in self.coded
            for shard, value in zip(bundle.shards, self._decode(bundle, parts), strict=True)
        ]

    def _decode(self, bundle: Bundle, parts: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        with tf.device(ps_device(self.ps)):
            return bundle.decode(parts, [self._shape_of(shard) for shard in bundle.shards])

    def _shape_of(self, shard: Shard) -> Shape:
        if shard not in self.ids:
            return shard.shape
        return (tf.size(self.ids[shard]), *shard.shape[1:])
