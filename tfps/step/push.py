"""Push: a worker sends gradients, and differences of what it wrote, to the ps that own them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from tfps.params.placement import ps_device
from tfps.params.shards import Shard, shards
from tfps.step.accumulate import Accumulator, Gradients, pulled_for
from tfps.step.apply import Optimizer
from tfps.step.codec_state import CodecState
from tfps.step.compute import Applied
from tfps.step.pull import Pull, RowRequest, RowShards
from tfps.step.transfer import Bundle, Transferred, Volume, Wire, bundles, total, transfer
from tfps.wire.codec import Codec, Identity


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
) -> Pushed:
    """Send gradients to their ps, where `optimizer` applies them.

    Args:
        optimizer: the optimizer of `applied`.
        applied: the gradients.
        pulled: what they were computed from.
        wire: the format in which they travel.
        state: what the codecs keep on the worker.
        accumulator: adds them up on the worker, and only the sums are sent; None to send each.
    """
    gradients = optimizer.unscaled(applied.gradients, pulled.values)
    asked = {id(request.variable): request for request in pulled.requests}
    found = Gradients(
        whole={key: g for key, g in gradients.items() if key not in asked},
        ids={key: request.ids for key, request in asked.items()},
        rows={key: g for key, g in gradients.items() if key in asked},
    )
    variables = {id(v): v for v, _ in applied.gradients}

    def update(found: Gradients, pulled: Pull) -> tf.Tensor:
        clipped = optimizer.clipped({**found.whole, **found.rows})
        whole, volumes = _send(
            [(variables[key], clipped[key]) for key in found.whole], wire=wire, state=state
        )
        rows, volumes_of_rows = _send_rows(
            [clipped.get(id(request.variable)) for request in pulled.requests], pulled, wire
        )
        optimizer.apply(whole, rows, pulled.values)
        return total([*volumes, *volumes_of_rows], wire.num_ps)

    def update_with_all(accumulator: Accumulator) -> tf.Tensor:
        taken = accumulator.take(found)
        requested = pulled_for(taken, pulled)
        return update(taken, requested) + requested.sent_bytes

    def add(accumulator: Accumulator) -> tf.Tensor:
        accumulator.add(found)
        optimizer.count(pulled.values)
        return total([], wire.num_ps)

    def send() -> tuple[tf.Tensor, tf.Tensor]:
        kept = tf.zeros([], tf.int64)
        if accumulator is None:
            return kept, update(found, pulled)
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
    arrived, volumes = _send(differences)
    for _, shard, difference in arrived:
        shard.variable.assign_add(difference, read_value=False)
    return total(volumes, wire.num_ps)


_Arrived = tuple[keras.Variable, Shard, tf.Tensor]
_ArrivedRows = tuple[keras.Variable, Shard, tf.Tensor, tf.Tensor]


def _send(
    values: Sequence[tuple[keras.Variable, tf.Tensor]],
    wire: Wire | None = None,
    state: CodecState | None = None,
) -> tuple[list[_Arrived], list[Volume]]:
    """Send `values`, as they are without a wire; return each shard's, now on its ps."""
    owner: dict[int, keras.Variable] = {}
    pieces: dict[int, tf.Tensor] = {}
    coded: list[tuple[Shard, Codec]] = []
    for variable, value in values:
        split = shards(variable)
        cut = [value] if len(split) == 1 else tf.split(value, [shard.shape[0] for shard in split])
        for shard, piece in zip(split, cut, strict=True):
            owner[id(shard.variable)], pieces[id(shard.variable)] = variable, piece
            coded.append((shard, wire.pushing(variable, shard) if wire else Identity()))
    arrived, volumes = [], []
    for bundle in bundles(coded):
        kept = state.read(bundle) if state else []
        sent = transfer(
            bundle,
            [pieces[id(shard.variable)] for shard in bundle.shards],
            [shard.shape for shard in bundle.shards],
            receiver=ps_device(bundle.ps),
            state=kept,
        )
        if state:
            state.write(bundle, sent.state)
        volumes.append(sent.volume)
        arrived += [
            (owner[id(shard.variable)], shard, tensor)
            for shard, tensor in zip(bundle.shards, sent.tensors, strict=True)
        ]
    return arrived, volumes


def _send_rows(
    gradients: Sequence[tf.Tensor | None], pulled: Pull, wire: Wire
) -> tuple[list[_ArrivedRows], list[Volume]]:
    """Send row gradients; return each shard's, with its ids."""
    split = [
        [] if gradient is None else _by_shard(request, gradient)
        for request, gradient in zip(pulled.requests, gradients, strict=True)
    ]
    arrived, volumes = [], []
    for part in pulled.sent:
        asked = {id(shard.variable): index for index, shard in enumerate(part.shards)}
        tables = [pulled.requests[table].variable for table in part.tables]
        coded = [
            (shard, wire.pushing(tables[index], shard, rows=True))
            for index, shard in enumerate(part.shards)
            if split[part.tables[index]]
        ]
        for bundle in bundles(coded):
            chosen = [asked[id(shard.variable)] for shard in bundle.shards]
            pieces = [split[part.tables[i]][part.splits[i]] for i in chosen]
            sent = _send_bundle_of_rows(pieces, part, bundle, chosen)
            volumes.append(sent.volume)
            arrived += [
                (tables[i], part.shards[i], part.ids_on_ps[i], tensor)
                for i, tensor in zip(chosen, sent.tensors, strict=True)
            ]
    return arrived, volumes


def _send_bundle_of_rows(
    pieces: Sequence[tf.Tensor], part: RowShards, bundle: Bundle, chosen: Sequence[int]
) -> Transferred:
    device = ps_device(part.ps)
    with tf.device(device):
        shapes = [(tf.size(part.ids_on_ps[i]), *part.shards[i].shape[1:]) for i in chosen]
    return transfer(bundle, pieces, shapes, receiver=device)


def _by_shard(request: RowRequest, gradient: tf.Tensor) -> list[tf.Tensor]:
    if len(request.positions) == 1:
        return [gradient]
    return [tf.gather(gradient, positions) for positions in request.positions]
