"""Send: values travel from a worker to the ps that own them, and what a ps receives of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import keras
import tensorflow as tf

from tfps.params.placement import ps_device
from tfps.params.shards import Shard, updated_parts
from tfps.transport.messages import Bundle, Message, Wire, messages
from tfps.transport.rows import RowRequest, ShardRows, rows_by_ps
from tfps.transport.transfer import ByteCount, Payload, receipt, transfer
from tfps.transport.tree import take_apart
from tfps.wire.codec import Codec, Identity, Shape, num_bytes

DenseValues = Sequence[tuple[keras.Variable, tf.Tensor]]
"""Variables, each with a tensor of its shape."""
RowValues = Sequence[tuple[RowRequest, tf.Tensor]]
"""Requests of rows, each with a tensor of shape `(num_unique, *width)`."""


class BundleState(Protocol):
    """What the codecs of a push keep on the worker from step to step."""

    def read(self, bundle: Bundle) -> list[tf.Tensor]:
        """Return the state of a bundle's codec."""

    def write(self, bundle: Bundle, state: Sequence[tf.Tensor]) -> None:
        """Keep the state of a bundle's codec."""


class _NoState:
    def read(self, bundle: Bundle) -> list[tf.Tensor]:
        return []

    def write(self, bundle: Bundle, state: Sequence[tf.Tensor]) -> None:
        return


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
        paced: whether it came in several messages, one after the other.
    """

    ps: int
    coded: Sequence[tuple[Bundle, Sequence[tf.Tensor]]]
    ids: Mapping[Shard, tf.Tensor]
    variables: Mapping[Shard, keras.Variable]
    header: Any
    paced: bool = False

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

    def after(self, ops: Sequence[tf.Operation]) -> ReceivedPush:
        """Return this push, to be had only after some ops."""
        if not ops:
            return self
        with tf.device(ps_device(self.ps)), tf.control_dependencies(ops):
            return self.with_tensors([tf.identity(tensor) for tensor in self.tensors])

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


def send(
    whole: DenseValues,
    rows: RowValues = (),
    *,
    wire: Wire | None = None,
    state: BundleState | None = None,
    headers: Mapping[int, Any] | None = None,
    to_all: bool = False,
    paced: bool = False,
) -> tuple[list[ReceivedPush], list[ByteCount]]:
    """Send values to the ps that update their parameters; to be called in a worker's function.

    Args:
        whole: values of whole variables.
        rows: values of rows, which travel with the ids of the rows.
        wire: the format in which values travel; None sends them as they are.
        state: what the codecs keep on the worker.
        headers: by the index of the ps, any structure of tensors to be sent with the first message.
        to_all: whether a header is also sent to a ps that gets no values.
        paced: whether a message waits until the one before the last has reached the same ps.

    Returns:
        What each ps received, in the order of their indices, and the bytes.
    """
    headers = headers or {}
    rows = [(request.for_update(), value) for request, value in rows]
    cut = _Cut.of(whole, rows, wire)
    rows_of = rows_by_ps([request for request, _ in rows])
    by_ps = messages(cut.coded, wire.buckets if wire else {})
    ps_indices = {*by_ps, *(headers if to_all else ())}
    pushes: list[ReceivedPush] = []
    byte_counts: list[ByteCount] = []
    for ps in sorted(ps_indices):
        push, sent = _send_to(
            ps,
            by_ps.get(ps, [[]]),
            cut,
            rows_of.get(ps, []),
            headers.get(ps, ()),
            state or _NoState(),
            paced=paced,
        )
        pushes.append(push)
        byte_counts.extend(sent)
    return pushes, byte_counts


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Cut:
    """Values cut into shards.

    Attributes:
        values: the value of each shard, or of its rows, on the worker.
        variables: for each shard, the whole variable.
        coded: the shards in the order in which they were given, each with its codec.
    """

    values: dict[Shard, tf.Tensor]
    variables: dict[Shard, keras.Variable]
    coded: list[tuple[Shard, Codec]]

    @classmethod
    def of(cls, whole: DenseValues, rows: RowValues, wire: Wire | None) -> _Cut:
        cut = cls(values={}, variables={}, coded=[])
        for variable, value in whole:
            split = updated_parts(variable)
            pieces = [value]
            if len(split) > 1:
                pieces = tf.split(value, [shard.shape[0] for shard in split])
            cut._add(variable, split, pieces, wire, rows=False)
        for request, value in rows:
            cut._add(request.variable, request.parts, request.split(value), wire, rows=True)
        return cut

    def _add(
        self,
        variable: keras.Variable,
        split: Sequence[Shard],
        pieces: Sequence[tf.Tensor],
        wire: Wire | None,
        *,
        rows: bool,
    ) -> None:
        for shard, piece in zip(split, pieces, strict=True):
            self.values[shard], self.variables[shard] = piece, variable
            codec = wire.pushing(variable, shard, rows=rows) if wire else Identity()
            self.coded.append((shard, codec))


def _send_to(
    ps: int,
    messages: Sequence[Message],
    cut: _Cut,
    rows: Sequence[ShardRows],
    header: Any,
    state: BundleState,
    *,
    paced: bool,
) -> tuple[ReceivedPush, list[ByteCount]]:
    """Send messages to one ps; the first also carries the ids of the rows, and the header."""
    header_tensors, rebuild = take_apart(header)
    ids = [of_shard.ids for of_shard in rows]
    byte_counts = [ByteCount(ps=ps, uncoded=num_bytes(ids), coded=num_bytes(ids))]
    coded: list[tuple[Bundle, Sequence[tf.Tensor]]] = []
    with_first: list[tf.Tensor] = [*ids, *header_tensors]
    first: list[tf.Tensor] = []
    receipts: list[tf.Tensor] = []
    for number, message in enumerate(messages):
        payloads = [
            Payload(
                bundle=bundle,
                tensors=[cut.values[shard] for shard in bundle.shards],
                state=state.read(bundle),
            )
            for bundle in message
        ]
        others = [*(with_first if number == 0 else []), *receipts[-2:-1]]
        received, extra = transfer(payloads, receiver=ps_device(ps), extra=others, as_one=paced)
        if number == 0:
            first = extra
        if paced:
            receipts.append(receipt(received))
        for each in received:
            coded.append((each.payload.bundle, each.parts))
            byte_counts.append(each.sent_bytes)
            state.write(each.payload.bundle, each.state)
    return ReceivedPush(
        ps=ps,
        coded=coded,
        ids={of_shard.shard: on_ps for of_shard, on_ps in zip(rows, first, strict=False)},
        variables=cut.variables,
        header=rebuild(first[len(rows) :]),
        paced=paced and len(messages) > 1,
    ), byte_counts
