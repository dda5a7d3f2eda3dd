"""Push: a worker sends gradients, and differences of what it wrote, to the ps that own them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfps.params.placement import ps_device
from tfps.params.shards import Shard, shards
from tfps.step.apply import Optimizer
from tfps.step.compute import Applied
from tfps.step.packing import pack, unpack, unpack_rows
from tfps.step.pull import Pull, RowRequest, by_ps_and_dtype


def push(optimizer: Optimizer, applied: Applied, pulled: Pull) -> tf.Tensor:
    """Send gradients to their ps, where `optimizer` applies them.

    Args:
        optimizer: the optimizer of `applied`.
        applied: the gradients.
        pulled: what they were computed from.

    Returns:
        How many updates were dropped, 0 or 1, int64.
    """
    gradients = optimizer.prepare(applied.gradients, pulled.values)
    whole = [(v, gradients[id(v)]) for v, _ in applied.gradients if _is_whole(v, gradients, pulled)]
    rows = [gradients.get(id(request.variable)) for request in pulled.requests]

    def send() -> tf.Tensor:
        optimizer.apply(_send(whole), _send_rows(rows, pulled), pulled.values)
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


def _is_whole(variable: keras.Variable, gradients: Mapping[int, Any], pulled: Pull) -> bool:
    by_row = any(request.variable is variable for request in pulled.requests)
    return id(variable) in gradients and not by_row


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
