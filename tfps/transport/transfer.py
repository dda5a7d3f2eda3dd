"""Transfer: tensors travel between a worker and one ps, together, coded and counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import tensorflow as tf

from tfps.transport.messages import Bundle
from tfps.wire.codec import Encoded, Identity, Shape, num_bytes, pack


@dataclasses.dataclass(frozen=True, kw_only=True)
class ByteCount:
    """The bytes that one ps sent or received.

    Attributes:
        ps: the index of the ps.
        uncoded: the bytes of the tensors before coding: int, or an integer scalar.
        coded: the bytes that travelled for them.
    """

    ps: int
    uncoded: int | tf.Tensor
    coded: int | tf.Tensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class Payload:
    """Tensors of a bundle, to be encoded and sent.

    Attributes:
        bundle: the shards that they belong to.
        tensors: one for each shard, or for rows of it, of the shard's dtype, on the sender.
        state: the state of the codec.
    """

    bundle: Bundle
    tensors: Sequence[tf.Tensor]
    state: Sequence[tf.Tensor] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Received:
    """A payload that was sent.

    Attributes:
        payload: the payload.
        parts: its encoded parts, on the receiver.
        sent: its encoded parts, on the sender.
        state: the new state of the codec, on the sender.
        receiver: the device of the receiver; None is the worker that runs the function.
    """

    payload: Payload
    parts: Sequence[tf.Tensor]
    sent: Sequence[tf.Tensor]
    state: Sequence[tf.Tensor]
    receiver: str | None

    def decode(self, shapes: Sequence[Shape]) -> tuple[list[tf.Tensor], ByteCount]:
        """Return the decoded tensors, of these shapes, and their bytes; on a worker that pulls."""
        tensors = self.payload.bundle.decode(self.parts, shapes)
        return tensors, self._byte_count(tensors, self.parts)

    @property
    def sent_bytes(self) -> ByteCount:
        """The bytes, computed on the sender."""
        return self._byte_count(self.payload.tensors, self.sent)

    def _byte_count(self, tensors: Sequence[tf.Tensor], parts: Sequence[tf.Tensor]) -> ByteCount:
        uncoded = coded = num_bytes(tensors)
        if not isinstance(self.payload.bundle.codec, Identity):
            coded = num_bytes(parts)
        return ByteCount(ps=self.payload.bundle.ps, uncoded=uncoded, coded=coded)


def transfer(
    payloads: Sequence[Payload],
    *,
    sender: str | None = None,
    receiver: str | None = None,
    extra: Sequence[tf.Tensor] = (),
    as_one: bool = False,
) -> tuple[list[Received], list[tf.Tensor]]:
    """Encode payloads on the sender, and send them to the receiver.

    Small tensors are concatenated, so that they cross in one call.

    Args:
        payloads: the payloads, all for bundles of the same ps.
        sender: the device of the sender; None is the worker that runs the function.
        receiver: the device of the receiver; None is that worker.
        extra: other tensors on the sender, to be sent as they are.
        as_one: whether large tensors are concatenated, too, so that all arrive at the same time.

    Returns:
        The payloads and the extra tensors, on the receiver.
    """
    with tf.device(sender):
        encoded = [_encode(payload) for payload in payloads]

    def joins(tensor: tf.Tensor) -> bool:
        return _has_bytes(tensor) and (as_one or _is_small(tensor))

    joining = [
        part
        for payload, codes in zip(payloads, encoded, strict=True)
        if all(joins(tensor) for tensor in payload.tensors)
        for part in codes.parts
    ]
    together = list({t.ref(): t for t in [*joining, *extra] if joins(t)}.values())
    if len(together) == 1 and not as_one:
        together = []  # nothing to concatenate it with
    parts = [part for codes in encoded for part in codes.parts]
    carried = iter(_carry([*parts, *extra], together, sender, receiver))
    received = [
        Received(
            payload=payload,
            parts=[next(carried) for _ in codes.parts],
            sent=codes.parts,
            state=codes.state,
            receiver=receiver,
        )
        for payload, codes in zip(payloads, encoded, strict=True)
    ]
    return received, list(carried)


def receipt(received: Sequence[Received]) -> tf.Tensor:
    """Return one byte of a message that was sent `as_one`, on the receiver.

    An op that takes the byte as input waits until the message has arrived. A control dependency
    would only wait for the op that sends it.
    """
    part = received[0].parts[0]
    with tf.device(received[0].receiver):
        return _as_bytes(tf.strings.length(part) if part.dtype == tf.string else part)[:1]


def _encode(payload: Payload) -> Encoded:
    seed = tf.random.uniform([2], tf.int32.min, tf.int32.max, tf.int32)
    return payload.bundle.codec.encode(payload.tensors, seed=seed, state=payload.state)


def _carry(
    tensors: Sequence[tf.Tensor],
    together: Sequence[tf.Tensor],
    sender: str | None,
    receiver: str | None,
) -> list[tf.Tensor]:
    """Return `tensors` for use on the receiver; those in `together` cross as one tensor of bytes.

    Sizes that are unknown when the function is traced are sent in front of the bytes.
    """
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
            header_bytes = 8 * len(unknown)
            sent_sizes = tf.bitcast(tf.reshape(packed[:header_bytes], [-1, 8]), tf.int64)
            packed = packed[header_bytes:]
            known = iter(tf.unstack(sent_sizes, num=len(unknown)))
            sizes = [next(known) if size is None else tf.constant(size, tf.int64) for size in sizes]
        pieces = tf.split(packed, sizes, num=len(together))
        restored = {
            tensor.ref(): _from_bytes(piece, tensor)
            for tensor, piece in zip(together, pieces, strict=True)
        }
    return [restored.get(tensor.ref(), tensor) for tensor in tensors]


# Each tensor that crosses costs a call: 0.3 ms of CPU time, in which 1 MB could be copied twice.
_SMALL_BYTES = 1 << 18
_NARROW_BYTES = 1 << 10


def _is_small(tensor: tf.Tensor) -> bool:
    """Whether copying a tensor costs less than a call. Of rows only the width may be known."""
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
    """Return the tensor that `_as_bytes` turned into `packed`; it is like `like`."""
    shape = [-1 if size is None else size for size in like.shape]
    size = [] if like.dtype.size == 1 else [like.dtype.size]
    return tf.bitcast(tf.reshape(packed, [*shape, *size]), like.dtype)


def total(byte_counts: Iterable[ByteCount], num_ps: int) -> tf.Tensor:
    """Return the sum of byte counts for each ps: int64, `(num_ps, 2)`, uncoded and coded."""
    sums: list[list[int | tf.Tensor]] = [[0, 0] for _ in range(num_ps)]
    for of_ps in byte_counts:
        for column, count in enumerate((of_ps.uncoded, of_ps.coded)):
            if not isinstance(count, int):
                count = tf.cast(count, tf.int64)
            sums[of_ps.ps][column] = sums[of_ps.ps][column] + count
    return tf.stack([tf.stack([tf.cast(count, tf.int64) for count in row]) for row in sums])
