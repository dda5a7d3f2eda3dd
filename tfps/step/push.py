"""Push: a worker sends gradients, and differences of what it wrote, to the ps that own them."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfps.params.placement import ps_device
from tfps.params.shards import Shard, shards
from tfps.step.accumulate import Accumulator, Gradients, requests_for
from tfps.step.apply import Optimizer
from tfps.step.codec_state import CodecState
from tfps.step.compute import Applied
from tfps.step.messages import Wire, messages
from tfps.step.pull import Pull, RowRequest, rows_by_ps
from tfps.step.transfer import Parcel, Volume, arrival, total, transfer
from tfps.step.tree import take_apart
from tfps.wire.codec import Codec, Identity, Shape, num_bytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pushed:
    """What pushes did.

    Attributes:
        dropped: how many updates were dropped, since gradients were not finite, int64.
        sent_bytes: what went to each ps, int64, of shape `(num_ps, 2)`: uncoded and coded.
    """

    dropped: tf.Tensor
    sent_bytes: tf.Tensor


def push(
    optimizer: Optimizer,
    applied: Applied,
    pulled: Pull,
    wire: Wire,
    state: CodecState,
    accumulator: Accumulator | None,
    *,
    paced: bool,
) -> Pushed:
    """Send gradients to their ps, where `optimizer` applies them.

    Args:
        optimizer: the optimizer of `applied`.
        applied: the gradients.
        pulled: what they were computed from.
        wire: the format in which they travel.
        state: what the codecs keep on the worker.
        accumulator: adds them up on the worker, and only the sums are sent; None to send each.
        paced: whether messages to a ps follow one another, for gradients that are there at once:
            what the first of them update can be pulled while others are under way.
    """
    gradients = optimizer.unscaled(applied.gradients, pulled.values)
    asked = {id(request.variable): request for request in pulled.requests}
    found = Gradients(
        whole={key: g for key, g in gradients.items() if key not in asked},
        ids={key: request.ids for key, request in asked.items()},
        rows={key: g for key, g in gradients.items() if key in asked},
    )
    variables = {id(v): v for v, _ in applied.gradients}

    def update(found: Gradients, requests: Sequence[RowRequest]) -> tf.Tensor:
        clipped = optimizer.clipped({**found.whole, **found.rows})
        dtypes = {shards(variables[key])[0].variable.dtype for key in clipped}
        arrived = _send(
            [(variables[key], clipped[key]) for key in found.whole],
            [
                (request, clipped[id(request.variable)])
                for request in requests
                if id(request.variable) in clipped
            ],
            wire=wire,
            state=state,
            along=optimizer.common(dtypes, pulled.values),
            paced=paced,
        )
        optimizer.apply(arrived.whole, arrived.rows, pulled.values, arrived.along)
        return total(arrived.volumes, wire.num_ps)

    def update_with_all(accumulator: Accumulator) -> tf.Tensor:
        taken = accumulator.take(found)
        return update(taken, requests_for(taken, pulled.requests))

    def add(accumulator: Accumulator) -> tf.Tensor:
        accumulator.add(found)
        optimizer.count(pulled.values)
        return total([], wire.num_ps)

    def send() -> tuple[tf.Tensor, tf.Tensor]:
        kept = tf.zeros([], tf.int64)
        if accumulator is None:
            return kept, update(found, pulled.requests)
        last = accumulator.is_last()
        return kept, tf.cond(last, lambda: update_with_all(accumulator), lambda: add(accumulator))

    def drop() -> tuple[tf.Tensor, tf.Tensor]:
        optimizer.drop(pulled.values)
        return tf.ones([], tf.int64), total([], wire.num_ps)

    good = optimizer.are_good(gradients)
    dropped, sent_bytes = send() if good is None else tf.cond(good, send, drop)
    return Pushed(dropped=dropped, sent_bytes=sent_bytes)


def push_differences(
    written: Sequence[keras.Variable], after: Mapping[int, tf.Tensor], pulled: Pull, wire: Wire
) -> tf.Tensor:
    """Add to each variable that the model wrote itself its new value minus the pulled one.

    Returns:
        What went to each ps, int64, of shape `(num_ps, 2)`: uncoded and coded bytes.
    """
    differences = [(v, after[id(v)] - pulled.values[id(v)]) for v in written]
    arrived = _send(differences)
    for _, shard, difference in arrived.whole:
        shard.variable.assign_add(difference, read_value=False)
    return total(arrived.volumes, wire.num_ps)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Sent:
    """What was sent, on the ps.

    Attributes:
        whole: variables, a shard of each, and its part of what was sent for it.
        rows: tables, a shard of each, the ids of rows in it, and what was sent for these.
        along: what else was sent to each of these ps.
        volumes: the bytes.
    """

    whole: list[tuple[keras.Variable, Shard, tf.Tensor]]
    rows: list[tuple[keras.Variable, Shard, tf.Tensor, tf.Tensor]]
    along: dict[int, Any]
    volumes: list[Volume]


def _send(
    whole: Sequence[tuple[keras.Variable, tf.Tensor]],
    rows: Sequence[tuple[RowRequest, tf.Tensor]] = (),
    wire: Wire | None = None,
    state: CodecState | None = None,
    along: Any = (),
    paced: bool = False,
) -> _Sent:
    """Send values of whole variables, and of rows with their ids, to the ps that hold them.

    Args:
        whole: variables and what is sent for them.
        rows: requests of rows and what is sent for their unique rows.
        wire: the format in which it travels; None as it is.
        state: what the codecs keep on the worker.
        along: any structure of tensors, for each ps that is sent something.
        paced: whether a message waits for the one before the last to reach the same ps.
    """
    owner: dict[int, keras.Variable] = {}
    pieces: dict[int, tf.Tensor] = {}
    coded: list[tuple[Shard, Codec]] = []

    def cut(variable: keras.Variable, parts: Sequence[tf.Tensor], *, rows: bool) -> None:
        for shard, piece in zip(shards(variable), parts, strict=True):
            owner[id(shard.variable)], pieces[id(shard.variable)] = variable, piece
            codec = wire.pushing(variable, shard, rows=rows) if wire else Identity()
            coded.append((shard, codec))

    for variable, value in whole:
        split = shards(variable)
        sizes = [shard.shape[0] for shard in split if len(split) > 1]
        cut(variable, tf.split(value, sizes) if sizes else [value], rows=False)
    for request, value in rows:
        cut(request.variable, request.split(value), rows=True)
    asked = rows_by_ps([request for request, _ in rows])
    others, rebuild = take_apart(along)
    sent = _Sent(whole=[], rows=[], along={}, volumes=[])
    arrivals: dict[int, list[tf.Tensor]] = collections.defaultdict(list)
    for message in messages(coded, wire.buckets if wire else {}):
        ps, is_first = message.ps, message.ps not in sent.along
        of_rows = asked.get(ps, []) if is_first else []
        arrived, there = transfer(
            [
                Parcel(
                    bundle=bundle,
                    tensors=[pieces[id(shard.variable)] for shard in bundle.shards],
                    state=state.read(bundle) if state else [],
                )
                for bundle in message.bundles
            ],
            receiver=ps_device(ps),
            along=[
                *(one.ids for one in of_rows),
                *(others if is_first else []),
                *arrivals[ps][-2:-1],
            ],
            as_one=paced,
        )
        if paced:
            arrivals[ps].append(arrival(arrived))
        ids = {id(one.shard.variable): i for one, i in zip(of_rows, there, strict=False)}
        if is_first:
            sent.along[ps] = rebuild(there[len(of_rows) :])
            size = num_bytes([one.ids for one in of_rows])
            sent.volumes.append(Volume(ps=ps, uncoded=size, coded=size))
        for parcel in arrived:
            of_bundle = parcel.parcel.bundle.shards
            unpacked = parcel.decode([_shape(shard, ids) for shard in of_bundle])
            if state:
                state.write(parcel.parcel.bundle, parcel.state)
            sent.volumes.append(unpacked.volume)
            for shard, tensor in zip(of_bundle, unpacked.tensors, strict=True):
                variable = owner[id(shard.variable)]
                if id(shard.variable) in ids:
                    sent.rows.append((variable, shard, ids[id(shard.variable)], tensor))
                else:
                    sent.whole.append((variable, shard, tensor))
    return sent


def _shape(shard: Shard, ids: Mapping[int, tf.Tensor]) -> Shape:
    if id(shard.variable) not in ids:
        return shard.shape
    with tf.device(ps_device(shard.ps)):
        return (tf.size(ids[id(shard.variable)]), *shard.shape[1:])
