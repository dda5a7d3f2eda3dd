"""Transfer: what travels between a worker and one ps: together, coded and counted."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterable, Sequence

import keras
import tensorflow as tf

from tfps.params.shards import Shard
from tfps.wire.codec import (
    Codec,
    Encoded,
    Identity,
    Parameter,
    Shape,
    num_bytes,
    pack,
)


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
    """Put shards into bundles, in the same order each time; those of one ps follow one another."""
    groups: dict[tuple[int, str, Codec], list[Shard]] = collections.defaultdict(list)
    for shard, codec in coded:
        groups[shard.ps, shard.variable.dtype.name, codec].append(shard)
    return [
        Bundle(ps=ps, codec=codec, shards=group)
        for (ps, _, codec), group in sorted(groups.items(), key=lambda item: item[0][:2])
    ]


def by_ps(found: Iterable[Bundle]) -> list[tuple[int, list[Bundle]]]:
    """Return what `bundles` gave, for each ps."""
    return [(ps, list(group)) for ps, group in itertools.groupby(found, lambda one: one.ps)]


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
class Parcel:
    """The tensors of a bundle that are to be sent.

    Attributes:
        bundle: what they belong to.
        tensors: one for each shard, of the variables' dtype, or rows of it; they lie on the sender.
        state: what the codec kept at the last call.
    """

    bundle: Bundle
    tensors: Sequence[tf.Tensor]
    state: Sequence[tf.Tensor] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unpacked:
    """What was in a parcel.

    Attributes:
        tensors: on the receiver.
        volume: the bytes that they took.
    """

    tensors: list[tf.Tensor]
    volume: Volume


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arrived:
    """A parcel on its receiver.

    Attributes:
        parcel: what was sent.
        parts: what the codec made of it, on the receiver.
        sent: the same, on the sender.
        state: what the codec keeps on the sender for the next step.
        receiver: the device; None is the worker that runs the function.
    """

    parcel: Parcel
    parts: Sequence[tf.Tensor]
    sent: Sequence[tf.Tensor]
    state: Sequence[tf.Tensor]
    receiver: str | None

    def decode(self, shapes: Sequence[Shape]) -> Unpacked:
        """Return the tensors, of these shapes; numbers of rows lie on the receiver."""
        codec, dtype = self.parcel.bundle.codec, self.parcel.tensors[0].dtype
        with tf.device(self.receiver):
            tensors = codec.decode(self.parts, shapes, dtype)
        # Sizes are taken on the worker; elsewhere each would have to be sent there.
        at_worker = self.receiver is None
        uncoded = num_bytes(tensors if at_worker else self.parcel.tensors)
        coded = uncoded
        if not isinstance(codec, Identity):
            coded = num_bytes(self.parts if at_worker else self.sent)
        volume = Volume(ps=self.parcel.bundle.ps, uncoded=uncoded, coded=coded)
        return Unpacked(tensors=tensors, volume=volume)


def transfer(
    parcels: Sequence[Parcel],
    *,
    sender: str | None = None,
    receiver: str | None = None,
    along: Sequence[tf.Tensor] = (),
) -> tuple[list[Arrived], list[tf.Tensor]]:
    """Encode on one device what goes to another.

    Args:
        parcels: all of the same ps.
        sender: the device of the sender; None is the worker that runs the function.
        receiver: the device of the receiver; None likewise.
        along: other tensors on the sender.

    Returns:
        The parcels and the other tensors, on the receiver.
    """
    with tf.device(sender):
        encoded = [_encode(parcel) for parcel in parcels]
    small = [
        part
        for parcel, one in zip(parcels, encoded, strict=True)
        if all(_is_small(tensor) for tensor in parcel.tensors)
        for part in one.parts
    ]
    small = [tensor for tensor in [*small, *along] if _is_small(tensor)]
    parts = [part for one in encoded for part in one.parts]
    carried = iter(_carry([*parts, *along], small, sender, receiver))
    arrived = [
        Arrived(
            parcel=parcel,
            parts=[next(carried) for _ in one.parts],
            sent=one.parts,
            state=one.state,
            receiver=receiver,
        )
        for parcel, one in zip(parcels, encoded, strict=True)
    ]
    return arrived, list(carried)


def _encode(parcel: Parcel) -> Encoded:
    seed = tf.random.uniform([2], tf.int32.min, tf.int32.max, tf.int32)
    return parcel.bundle.codec.encode(parcel.tensors, seed=seed, state=parcel.state)


def _carry(
    tensors: Sequence[tf.Tensor],
    small: Sequence[tf.Tensor],
    sender: str | None,
    receiver: str | None,
) -> list[tf.Tensor]:
    """Return tensors for use on the receiver; those that are small become one on the way."""
    small = list({id(tensor): tensor for tensor in small}.values())
    if len(small) < 2:
        return list(tensors)
    with tf.device(sender):
        in_bytes = [_as_bytes(tensor) for tensor in small]
        unknown = [tf.size(b, tf.int64) for b in in_bytes if b.shape[0] is None]
        header = [_as_bytes(tf.stack(unknown))] if unknown else []
        packed = pack([*header, *in_bytes])
    with tf.device(receiver):
        sizes: list[int | tf.Tensor] = [b.shape[0] for b in in_bytes]
        if unknown:
            told = tf.bitcast(tf.reshape(packed[: 8 * len(unknown)], [-1, 8]), tf.int64)
            packed = packed[8 * len(unknown) :]
            found = iter(tf.unstack(told, num=len(unknown)))
            sizes = [next(found) if size is None else tf.constant(size, tf.int64) for size in sizes]
        pieces = tf.split(packed, sizes, num=len(small))
        restored = {
            id(tensor): _from_bytes(piece, tensor)
            for tensor, piece in zip(small, pieces, strict=True)
        }
    return [restored.get(id(tensor), tensor) for tensor in tensors]


# Each tensor that crosses is a call of its own: 0.3 ms of CPU time, in which 1 MB is copied twice.
_SMALL_BYTES = 1 << 18
_NARROW_BYTES = 1 << 10


def _is_small(tensor: tf.Tensor) -> bool:
    """Whether copying a tensor is cheaper than a call; of rows only the width may be known."""
    if not (tensor.dtype.is_floating or tensor.dtype.is_integer):
        return False
    elements = tensor.shape.num_elements()
    if elements is not None:
        return bool(elements * tensor.dtype.size <= _SMALL_BYTES)
    width = None if tensor.shape.rank is None else tensor.shape[1:].num_elements()
    return width is not None and bool(width * tensor.dtype.size < _NARROW_BYTES)


def _as_bytes(tensor: tf.Tensor) -> tf.Tensor:
    return tf.reshape(tf.bitcast(tensor, tf.uint8), [-1])


def _from_bytes(packed: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Return the tensor of the shape and dtype of `like` that `_as_bytes` took apart."""
    shape = [-1 if size is None else size for size in like.shape]
    size = [] if like.dtype.size == 1 else [like.dtype.size]
    return tf.bitcast(tf.reshape(packed, [*shape, *size]), like.dtype)


def total(volumes: Iterable[Volume], num_ps: int) -> tf.Tensor:
    """Add up bytes by ps: int64, of shape `(num_ps, 2)`, uncoded and coded."""
    sums: list[list[int | tf.Tensor]] = [[0, 0] for _ in range(num_ps)]
    for volume in volumes:
        for column, count in enumerate((volume.uncoded, volume.coded)):
            if not isinstance(count, int):
                count = tf.cast(count, tf.int64)
            sums[volume.ps][column] = sums[volume.ps][column] + count
    return tf.stack([tf.stack([tf.cast(count, tf.int64) for count in row]) for row in sums])
