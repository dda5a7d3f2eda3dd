"""Push: a worker sends gradients, and differences of what it wrote, to the ps that own them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from tfps.params.placement import ps_device
from tfps.params.shards import Shard, shards
from tfps.step.accumulate import Accumulator, Gradients, pulled_for
from tfps.step.apply import Optimizer
from tfps.step.compute import Applied
from tfps.step.packing import pack, unpack, unpack_rows
from tfps.step.pull import Pull, RowRequest, by_ps_and_dtype


def push(
    optimizer: Optimizer, applied: Applied, pulled: Pull, accumulator: Accumulator | None
) -> tf.Tensor:
    """Send gradients to their ps, where `optimizer` applies them.

    Args:
        optimizer: the optimizer of `applied`.
        applied: the gradients.
        pulled: what they were computed from.
        accumulator: adds them up on the worker, and only the sums are sent; None to send each.

    Returns:
        How many updates were dropped, 0 or 1, int64.
    """
    gradients = optimizer.unscaled(applied.gradients, pulled.values)
    asked = {id(request.variable): request for request in pulled.requests}
    found = Gradients(
        whole={key: g for key, g in gradients.items() if key not in asked},
        ids={key: request.ids for key, request in asked.items()},
        rows={key: g for key, g in gradients.items() if key in asked},
    )
    variables = {id(v): v for v, _ in applied.gradients}

    def update(found: Gradients, pulled: Pull) -> None:
        clipped = optimizer.clipped({**found.whole, **found.rows})
        whole = [(variables[key], clipped[key]) for key in found.whole]
        rows = [clipped.get(id(request.variable)) for request in pulled.requests]
        optimizer.apply(_send(whole), _send_rows(rows, pulled), pulled.values)

    def update_with_all(accumulator: Accumulator) -> tf.Tensor:
        taken = accumulator.take(found)
        update(taken, pulled_for(taken, pulled))
        return tf.zeros([])

    def add(accumulator: Accumulator) -> tf.Tensor:
        accumulator.add(found)
        optimizer.count(pulled.values)
        return tf.zeros([])

    def send() -> tf.Tensor:
        if accumulator is None:
            update(found, pulled)
        else:
            last = accumulator.is_last()
            tf.cond(last, lambda: update_with_all(accumulator), lambda: add(accumulator))
        return tf.zeros([], tf.int64)

    def drop() -> tf.Tensor:
        optimizer.drop(pulled.values)
        return tf.ones([], tf.int64)

    good = optimizer.are_good(gradients)
    return send() if good is None else tf.cond(good, send, drop)


def push_differences(
    written: Sequence[keras.Variable], after: Mapping[int, tf.Tensor], pulled: Pull
) -> None:
    """Add to each variable that the model wrote itself its new value minus the pulled one."""
    differences = [(v, after[id(v)] - pulled.values[id(v)]) for v in written]
    for _, shard, difference in _send(differences):
        shard.variable.assign_add(difference, read_value=False)


def _send_rows(
    gradients: Sequence[tf.Tensor | None], pulled: Pull
) -> list[tuple[keras.Variable, Shard, tf.Tensor, tf.Tensor]]:
    """Send row gradients, one message per ps and dtype; return each shard's, with its ids."""
    split = [
        [] if gradient is None else _by_shard(request, gradient)
        for request, gradient in zip(pulled.requests, gradients, strict=True)
    ]
    arrived = []
    for part in pulled.sent:
        chosen = [i for i, table in enumerate(part.tables) if split[table]]
        if not chosen:
            continue
        packed = pack(split[part.tables[i]][part.splits[i]] for i in chosen)
        with tf.device(ps_device(part.ps)):
            rows = tf.stack([tf.size(part.ids_on_ps[i]) for i in chosen])
            pieces = unpack_rows(packed, rows, [part.widths[i] for i in chosen])
        for i, gradient in zip(chosen, pieces, strict=True):
            table = pulled.requests[part.tables[i]].variable
            arrived.append((table, part.shards[i], part.ids_on_ps[i], gradient))
    return arrived


def _by_shard(request: RowRequest, gradient: tf.Tensor) -> list[tf.Tensor]:
    if len(request.positions) == 1:
        return [gradient]
    return [tf.gather(gradient, positions) for positions in request.positions]


def _send(
    values: Sequence[tuple[keras.Variable, tf.Tensor]],
) -> list[tuple[keras.Variable, Shard, tf.Tensor]]:
    """Send `values`, one message per ps and dtype; return each shard's, now on its ps."""
    owner: dict[int, keras.Variable] = {}
    pieces: dict[int, tf.Tensor] = {}
    found: list[Shard] = []
    for variable, value in values:
        split = shards(variable)
        cut = [value] if len(split) == 1 else tf.split(value, [shard.shape[0] for shard in split])
        for shard, piece in zip(split, cut, strict=True):
            owner[id(shard.variable)], pieces[id(shard.variable)] = variable, piece
            found.append(shard)
    arrived = []
    for ps, group in by_ps_and_dtype(found):
        packed = pack(pieces[id(shard.variable)] for shard in group)
        with tf.device(ps_device(ps)):
            unpacked = unpack(packed, [shard.shape for shard in group])
        arrived += [(owner[id(s.variable)], s, v) for s, v in zip(group, unpacked, strict=True)]
    return arrived
