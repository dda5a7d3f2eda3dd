"""Transfer: what travels between a worker and one ps: together, coded and counted."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Sequence

import keras
import tensorflow as tf

from tfps.params.shards import Shard
from tfps.wire.codec import Codec, Identity, Parameter, Shape, num_bytes, num_elements


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wire:
    """In which format parameters and gradients travel, from a global step on.

    Only trainable variables of float32 and float64 are coded.

    Attributes:
        pull: the codec of what the ps send.
        push: the codec of the gradients that they receive.
        num_ps: how many ps there are.
        step: the global step.
    """

    pull: Codec
    push: Codec
    num_ps: int
    step: int = 0

    def __post_init__(self) -> None:
        if not self.pull.codes_pulls:
            raise ValueError(
                f"pull={self.pull!r}: parameters cannot be pulled with it. What it leaves "
                "out would be missing in every step, and no error feedback makes up for it. Take "
                "Identity, Cast or Int8, and keep this codec for the push."
            )

    @property
    def is_coded(self) -> bool:
        """Whether anything travels otherwise than as it is."""
        return not (isinstance(self.pull, Identity) and isinstance(self.push, Identity))

    @property
    def boundaries(self) -> tuple[int, ...]:
        """The global steps, above 0 and rising, at which a codec gives way to another."""
        return tuple(sorted({*self.pull.boundaries, *self.push.boundaries}))

    def at(self, step: int) -> Wire:
        """Return the wire of a global step; it is the same until the next boundary."""
        return dataclasses.replace(
            self, step=max((b for b in self.boundaries if b <= step), default=0)
        )

    def pulling(self, variable: keras.Variable, shard: Shard, *, rows: bool = False) -> Codec:
        """Return the codec in which a shard, or rows of it, are pulled."""
        return self._codec(self.pull, variable, shard, rows)

    def pushing(self, variable: keras.Variable, shard: Shard, *, rows: bool = False) -> Codec:
        """Return the codec in which gradients by a shard, or by rows of it, are pushed."""
        return self._codec(self.push, variable, shard, rows)

    def _codec(self, codec: Codec, variable: keras.Variable, shard: Shard, rows: bool) -> Codec:
        if not variable.trainable or shard.variable.dtype not in (tf.float32, tf.float64):
            return Identity()
        parameter = Parameter.of(variable.path, variable.shape, rows=rows)
        return codec.for_parameter(parameter, self.step)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bundle:
    """Shards on one ps that travel together, since they have one dtype and one codec."""

    ps: int
    codec: Codec
    shards: list[Shard]


def bundles(coded: Iterable[tuple[Shard, Codec]]) -> list[Bundle]:
    """Put shards into bundles, in the same order each time."""
    groups: dict[tuple[int, str, Codec], list[Shard]] = collections.defaultdict(list)
    for shard, codec in coded:
        groups[shard.ps, shard.variable.dtype.name, codec].append(shard)
    return [
        Bundle(ps=ps, codec=codec, shards=group)
        for (ps, _, codec), group in sorted(groups.items(), key=lambda item: item[0][:2])
    ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Volume:
    """Bytes that one ps sent or received.

    Attributes:
        ps: the index of the ps.
        uncoded: bytes of the tensors: int, or an integer scalar.
        coded: bytes that travelled for them.
    """

    ps: int
    uncoded: int | tf.Tensor
    coded: int | tf.Tensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transferred:
    """What arrived.

    Attributes:
        tensors: on the receiver.
        state: what the codec keeps on the sender for the next step.
        volume: the bytes.
    """

    tensors: list[tf.Tensor]
    state: Sequence[tf.Tensor]
    volume: Volume


def transfer(
    bundle: Bundle,
    tensors: Sequence[tf.Tensor],
    shapes: Sequence[Shape],
    *,
    sender: str | None = None,
    receiver: str | None = None,
    state: Sequence[tf.Tensor] = (),
) -> Transferred:
    """Encode the tensors of a bundle on one device, and decode them on another.

    Args:
        bundle: what they belong to.
        tensors: one for each shard, of the variables' dtype; they lie on the sender.
        shapes: of the tensors; numbers of rows lie on the receiver.
        sender: the device of the sender; None is the worker that runs the function.
        receiver: the device of the receiver; None likewise.
        state: what the codec kept at the last call.
    """
    dtype = tensors[0].dtype
    with tf.device(sender):
        seed = tf.random.uniform([2], tf.int32.min, tf.int32.max, tf.int32)
        encoded = bundle.codec.encode(tensors, seed=seed, state=state)
    with tf.device(receiver):
        decoded = bundle.codec.decode(encoded.parts, shapes, dtype)
    coded = num_bytes(encoded.parts)
    exact = isinstance(bundle.codec, Identity)
    uncoded = coded if exact else sum(num_elements(shape) for shape in shapes) * dtype.size
    volume = Volume(ps=bundle.ps, uncoded=uncoded, coded=coded)
    return Transferred(tensors=decoded, state=encoded.state, volume=volume)


def total(volumes: Iterable[Volume], num_ps: int) -> tf.Tensor:
    """Add up bytes by ps: int64, of shape `(num_ps, 2)`, uncoded and coded."""
    sums: list[list[int | tf.Tensor]] = [[0, 0] for _ in range(num_ps)]
    for volume in volumes:
        for column, count in enumerate((volume.uncoded, volume.coded)):
            if not isinstance(count, int):
                count = tf.cast(count, tf.int64)
            sums[volume.ps][column] = sums[volume.ps][column] + count
    return tf.stack([tf.stack([tf.cast(count, tf.int64) for count in row]) for row in sums])
