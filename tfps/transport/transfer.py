"""Transfer: what travels between a worker and one ps: together, coded and counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import tensorflow as tf

from tfps.transport.messages import Bundle
from tfps.wire.codec import Encoded, Identity, Shape, num_bytes, pack


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

    def decode(self, shapes: Sequence[Shape]) -> tuple[list[tf.Tensor], Volume]:
        """Return the tensors, of these shapes, and their bytes; on the worker that received."""
        tensors = self.parcel.bundle.decode(self.parts, shapes)
        return tensors, self._volume(tensors, self.parts)

    @property
    def sent_volume(self) -> Volume:
        """The bytes, on the worker that sent."""
        return self._volume(self.parcel.tensors, self.sent)

    def _volume(self, tensors: Sequence[tf.Tensor], parts: Sequence[tf.Tensor]) -> Volume:
        uncoded = coded = num_bytes(tensors)
        if not isinstance(self.parcel.bundle.codec, Identity):
            coded = num_bytes(parts)
        return Volume(ps=self.parcel.bundle.ps, uncoded=uncoded, coded=coded)


def transfer(
    parcels: Sequence[Parcel],
    *,
    sender: str | None = None,
    receiver: str | None = None,
    along: Sequence[tf.Tensor] = (),
    as_one: bool = False,
) -> tuple[list[Arrived], list[tf.Tensor]]:
    """Encode on one device what goes to another.

    Args:
        parcels: all of the same ps.
        sender: the device of the sender; None is the worker that runs the function.
        receiver: the device of the receiver; None likewise.
        along: other tensors on the sender.
        as_one: whether large tensors, too, are copied into one with the others, so that all arrive
            together.

    Returns:
        The parcels and the other tensors, on the receiver.
    """
    with tf.device(sender):
        encoded = [_encode(parcel) for parcel in parcels]

    def joins(tensor: tf.Tensor) -> bool:
        return _has_bytes(tensor) and (as_one or _is_small(tensor))

    joining = [
        part
        for parcel, one in zip(parcels, encoded, strict=True)
        if all(joins(tensor) for tensor in parcel.tensors)
        for part in one.parts
    ]
    together = list({t.ref(): t for t in [*joining, *along] if joins(t)}.values())
    if len(together) == 1 and not as_one:
        together = []  # it travels as it is
    parts = [part for one in encoded for part in one.parts]
    carried = iter(_carry([*parts, *along], together, sender, receiver))
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


def arrival(arrived: Sequence[Arrived]) -> tf.Tensor:
    """Return a byte, on the receiver, of a message that travelled as one: a receipt.

    A control dependency would not do: without data it is the sender's op that would be waited for.
    """
    part = arrived[0].parts[0]
    with tf.device(arrived[0].receiver):
        return _as_bytes(tf.strings.length(part) if part.dtype == tf.string else part)[:1]


def _encode(parcel: Parcel) -> Encoded:
    seed = tf.random.uniform([2], tf.int32.min, tf.int32.max, tf.int32)
    return parcel.bundle.codec.encode(parcel.tensors, seed=seed, state=parcel.state)


def _carry(
    tensors: Sequence[tf.Tensor],
    together: Sequence[tf.Tensor],
    sender: str | None,
    receiver: str | None,
) -> list[tf.Tensor]:
    """Return tensors for use on the receiver; those that go together become one on the way."""
    if not together:
        return list(tensors)
    with tf.device(sender):
        in_bytes = [_as_bytes(tensor) for tensor in together]
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
        pieces = tf.split(packed, sizes, num=len(together))
        restored = {
            tensor.ref(): _from_bytes(piece, tensor)
            for tensor, piece in zip(together, pieces, strict=True)
        }
    return [restored.get(tensor.ref(), tensor) for tensor in tensors]


# Each tensor that crosses is a call of its own: 0.3 ms of CPU time, in which 1 MB is copied twice.
_SMALL_BYTES = 1 << 18
_NARROW_BYTES = 1 << 10


def _is_small(tensor: tf.Tensor) -> bool:
    """Whether copying a tensor is cheaper than a call; of rows only the width may be known."""
    elements = tensor.shape.num_elements()
    if elements is not None:
        return bool(elements * tensor.dtype.size <= _SMALL_BYTES)
    width = None if tensor.shape.rank is None else tensor.shape[1:].num_elements()
    return width is not None and bool(width * tensor.dtype.size < _NARROW_BYTES)


def _has_bytes(tensor: tf.Tensor) -> bool:
    return bool(tensor.dtype.is_floating or tensor.dtype.is_integer)


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
