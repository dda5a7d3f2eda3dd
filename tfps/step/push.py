"""Push: a worker sends gradients, and differences of what it wrote, to the ps that own them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfps.optimizer.views import RowView
from tfps.params.placement import ps_device
from tfps.params.shards import Shard, shards
from tfps.params.variable_map import VariableMap
from tfps.step.compute import Applied
from tfps.step.step import StepOptimizer
from tfps.transport.delivery import Delivery
from tfps.transport.messages import Bundle, Message, Wire, messages
from tfps.transport.pull import Pull, RowRequest, rows_by_ps
from tfps.transport.transfer import Parcel, Volume, arrival, total, transfer
from tfps.transport.tree import take_apart
from tfps.update.effect import Effect
from tfps.wire.codec import Codec, Identity, num_bytes
from tfps.worker.accumulate import Accumulator, Gradients, requests_for
from tfps.worker.codec_state import CodecState
from tfps.worker.replica import Replica


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pushed:
    """What pushes did.

    Attributes:
        dropped: how many updates were dropped, since gradients were not finite, int64.
        sent_bytes: what went to each ps, int64, of shape `(num_ps, 2)`: uncoded and coded.
        applied: of each, an int64 scalar: see `Effect.take`.
    """

    dropped: tf.Tensor
    sent_bytes: tf.Tensor
    applied: Sequence[tf.Tensor]

    @classmethod
    def nothing(cls, num_ps: int) -> Pushed:
        """Return what no push did."""
        return cls(dropped=tf.zeros([], tf.int64), sent_bytes=total([], num_ps), applied=[])

    def __add__(self, other: Pushed) -> Pushed:
        return Pushed(
            dropped=self.dropped + other.dropped,
            sent_bytes=self.sent_bytes + other.sent_bytes,
            applied=[*self.applied, *other.applied],
        )


def push(
    parts: StepOptimizer,
    applied: Applied,
    pulled: Pull,
    wire: Wire,
    worker: tf.Tensor,
    *,
    replica: Replica | None = None,
    paced: bool = False,
) -> Pushed:
    """Send gradients to their ps, where they take effect.

    Args:
        parts: what belongs to their optimizer.
        applied: the gradients.
        pulled: what they were computed from.
        wire: the format in which they travel.
        worker: the index of the worker, int64.
        replica: takes the step, too; None is nothing.
        paced: whether messages to a ps follow one another, for gradients that are there at once:
            what the first of them update can be pulled while others are under way.
    """
    optimizer, accumulator = parts.optimizer, parts.accumulator
    gradients = optimizer.unscaled(applied.gradients, pulled.whole)
    asked = VariableMap((request.variable, request) for request in pulled.requests)
    found = Gradients(
        whole=VariableMap((v, g) for v, g in gradients.items() if v not in asked),
        ids=VariableMap((table, request.ids) for table, request in asked.items()),
        rows=VariableMap((v, g) for v, g in gradients.items() if v in asked),
    )

    def update(found: Gradients, requests: Sequence[RowRequest]) -> tuple[tf.Tensor, tf.Tensor]:
        clipped = optimizer.clipped(found.whole | found.rows)
        whole = VariableMap((v, clipped[v]) for v in found.whole)
        if replica is not None:
            replica.follow(optimizer, whole)
        rows = [
            (request, clipped[request.variable])
            for request in requests
            if request.variable in clipped
        ]
        dense = list(whole.items())
        state = parts.codec_state
        if parts.rows is parts.dense:
            sent = deliver(parts.dense, dense, rows, pulled, wire, state, worker, paced=paced)
        else:
            sent = deliver(parts.dense, dense, [], pulled, wire, state, worker, paced=paced)
            sent += deliver(parts.rows, [], rows, pulled, wire, state, worker, paced=paced)
        return sent.sent_bytes, tf.add_n(list(sent.applied))

    def skip() -> None:
        for effect in parts.effects:
            effect.skip(pulled.start_versions[effect], worker)

    def update_with_all(accumulator: Accumulator) -> tuple[tf.Tensor, tf.Tensor]:
        taken = accumulator.take(found)
        return update(taken, requests_for(taken, pulled.requests))

    def add(accumulator: Accumulator) -> tuple[tf.Tensor, tf.Tensor]:
        accumulator.add(found)
        optimizer.count(pulled.whole)
        if replica is not None:
            replica.count(optimizer)
        skip()
        return total([], wire.num_ps), none

    def send() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        if accumulator is None:
            return none, *update(found, pulled.requests)
        last = accumulator.is_last()
        return none, *tf.cond(last, lambda: update_with_all(accumulator), lambda: add(accumulator))

    def drop() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        assert optimizer.loss_scale is not None
        lowered = optimizer.loss_scale.lowered(pulled.whole)
        optimizer.loss_scale.assign(lowered)
        if replica is not None:
            replica.write(lowered)
        skip()
        return tf.ones([], tf.int64), total([], wire.num_ps), none

    none = tf.zeros([], tf.int64)
    good = optimizer.are_good(gradients)
    dropped, sent_bytes, receipt = send() if good is None else tf.cond(good, send, drop)
    return Pushed(dropped=dropped, sent_bytes=sent_bytes, applied=[receipt])


def deliver(
    effect: Effect,
    whole: Sequence[tuple[keras.Variable, tf.Tensor]],
    rows: Sequence[tuple[RowRequest, tf.Tensor]],
    pulled: Pull,
    wire: Wire,
    state: CodecState,
    worker: tf.Tensor,
    *,
    paced: bool = False,
) -> Pushed:
    """Send gradients to their ps, and have them take effect.

    Args:
        effect: how they take effect.
        whole: variables and the gradients by them.
        rows: requests of rows and the gradients by their unique rows.
        pulled: what they were computed from.
        wire: the format in which they travel.
        state: what the codecs keep on the worker.
        worker: the index of the worker, int64.
        paced: whether messages to a ps follow one another.
    """
    variables = [*(v for v, _ in whole), *(request.variable for request, _ in rows)]
    dtypes = {shards(variable)[0].variable.dtype for variable in variables}
    deliveries, volumes = _send(
        whole,
        rows,
        wire=wire,
        state=state,
        along=effect.along(pulled.start_versions[effect], worker, dtypes, pulled.whole),
        to_all=effect.reaches_all,
        paced=paced,
    )
    applied = effect.take(deliveries, pulled.whole)
    sent = total(volumes, wire.num_ps)
    return Pushed(dropped=tf.zeros([], tf.int64), sent_bytes=sent, applied=[applied])


def push_differences(differences: Sequence[tuple[keras.Variable, tf.Tensor]], wire: Wire) -> Pushed:
    """Add to each variable, on its ps, by how much a worker has moved it."""
    deliveries, volumes = _send(differences)
    for piece in (piece for delivery in deliveries for piece in delivery.decoded()):
        piece.shard.variable.assign_add(piece.value, read_value=False)
    return dataclasses.replace(Pushed.nothing(wire.num_ps), sent_bytes=total(volumes, wire.num_ps))


def push_row_differences(differences: Sequence[tuple[RowRequest, tf.Tensor]], wire: Wire) -> Pushed:
    """Add to rows of each variable, on their ps, by how much a worker has moved them."""
    deliveries, volumes = _send([], differences)
    for piece in (piece for delivery in deliveries for piece in delivery.decoded()):
        assert piece.ids is not None
        RowView(piece.variable, piece.shard, piece.ids).assign_add(piece.value)
    return dataclasses.replace(Pushed.nothing(wire.num_ps), sent_bytes=total(volumes, wire.num_ps))


def _send(
    whole: Sequence[tuple[keras.Variable, tf.Tensor]],
    rows: Sequence[tuple[RowRequest, tf.Tensor]] = (),
    wire: Wire | None = None,
    state: CodecState | None = None,
    along: Mapping[int, Any] | None = None,
    to_all: bool = False,
    paced: bool = False,
) -> tuple[list[Delivery], list[Volume]]:
    """Send values of whole variables, and of rows with their ids, to the ps that hold them.

    Args:
        whole: variables and what is sent for them.
        rows: requests of rows and what is sent for their unique rows.
        wire: the format in which it travels; None as it is.
        state: what the codecs keep on the worker.
        along: for ps, by their index, any structure of tensors to be sent with it.
        to_all: whether `along` is sent to ps, too, that are sent nothing else.
        paced: whether a message waits for the one before the last to reach the same ps.

    Returns:
        What came to each ps that was sent something, and the bytes.
    """
    owner: dict[Shard, keras.Variable] = {}
    pieces: dict[Shard, tf.Tensor] = {}
    coded: list[tuple[Shard, Codec]] = []

    def cut(variable: keras.Variable, parts: Sequence[tf.Tensor], *, rows: bool) -> None:
        for shard, piece in zip(shards(variable), parts, strict=True):
            owner[shard], pieces[shard] = variable, piece
            codec = wire.pushing(variable, shard, rows=rows) if wire else Identity()
            coded.append((shard, codec))

    for variable, value in whole:
        split = shards(variable)
        sizes = [shard.shape[0] for shard in split if len(split) > 1]
        cut(variable, tf.split(value, sizes) if sizes else [value], rows=False)
    for request, value in rows:
        cut(request.variable, request.split(value), rows=True)
    asked = rows_by_ps([request for request, _ in rows])
    along = along or {}
    volumes: list[Volume] = []
    deliveries: list[Delivery] = []
    by_ps: dict[int, list[Message]] = {ps: [] for ps in along if to_all}
    for message in messages(coded, wire.buckets if wire else {}):
        by_ps.setdefault(message.ps, []).append(message)
    for ps, of_ps in sorted(by_ps.items()):
        others, rebuild = take_apart(along.get(ps, ()))
        of_rows = asked.get(ps, [])
        first: list[tf.Tensor] = [*(one.ids for one in of_rows), *others]
        size = num_bytes([one.ids for one in of_rows])
        volumes.append(Volume(ps=ps, uncoded=size, coded=size))
        came: list[tf.Tensor] = []
        bundles: list[tuple[Bundle, Sequence[tf.Tensor]]] = []
        receipts: list[tf.Tensor] = []
        for number, message in enumerate(of_ps or [Message(ps=ps, bundles=[])]):
            arrived, there = transfer(
                [
                    Parcel(
                        bundle=bundle,
                        tensors=[pieces[shard] for shard in bundle.shards],
                        state=state.read(bundle) if state else [],
                    )
                    for bundle in message.bundles
                ],
                receiver=ps_device(ps),
                along=[*(first if number == 0 else []), *receipts[-2:-1]],
                as_one=paced,
            )
            if number == 0:
                came = there
            if paced:
                receipts.append(arrival(arrived))
            for parcel in arrived:
                bundles.append((parcel.parcel.bundle, parcel.parts))
                volumes.append(parcel.sent_volume)
                if state:
                    state.write(parcel.parcel.bundle, parcel.state)
        ids = {one.shard: i for one, i in zip(of_rows, came, strict=False)}
        deliveries.append(
            Delivery(
                ps=ps, coded=bundles, ids=ids, variables=owner, along=rebuild(came[len(of_rows) :])
            )
        )
    return deliveries, volumes
