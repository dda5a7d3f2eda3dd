"""Push: a worker sends gradients, and differences of what it wrote, to the ps that own them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from tfps.params.placement import ps_device
from tfps.params.shards import Shard, shards
from tfps.step.apply import Optimizer, RowView, ShardView
from tfps.step.packing import pack, unpack, unpack_rows
from tfps.step.pull import RowRequest, RowShards, by_ps_and_dtype


@dataclasses.dataclass(frozen=True, kw_only=True)
class Push:
    """Everything that one step sends.

    Attributes:
        whole: trainable variables with the gradient by their whole value.
        requests: the rows that were pulled, of all tables.
        sent: the same, as they lie on the ps.
        rows: for each request, the gradient by its unique rows; None for a frozen table.
        differences: variables that the model wrote itself, with new value minus pulled value.
        counters: the optimizer's counters as they were pulled, by `id` of the variable.
    """

    whole: Sequence[tuple[keras.Variable, tf.Tensor]]
    requests: Sequence[RowRequest]
    sent: Sequence[RowShards]
    rows: Sequence[tf.Tensor | None]
    differences: Sequence[tuple[keras.Variable, tf.Tensor]]
    counters: Mapping[int, tf.Tensor]

    def apply(self, optimizer: Optimizer) -> None:
        """Send it, update the parameters on their ps, and count one update if there is one."""
        for variable, shard, gradient in _send(self.whole):
            optimizer.update(variable, ShardView(variable, shard), gradient, self.counters)
        for table, shard, ids, gradient in self._send_rows():
            optimizer.update(table, RowView(table, shard, ids), gradient, self.counters)
        for _, shard, difference in _send(self.differences):
            shard.variable.assign_add(difference, read_value=False)
        if self.whole or any(gradient is not None for gradient in self.rows):
            optimizer.count()

    def _send_rows(self) -> list[tuple[keras.Variable, Shard, tf.Tensor, tf.Tensor]]:
        """Send row gradients, one message per ps and dtype; return each shard's, with its ids."""
        split = [
            [] if gradient is None else _by_shard(request, gradient)
            for request, gradient in zip(self.requests, self.rows, strict=True)
        ]
        arrived = []
        for part in self.sent:
            chosen = [i for i, table in enumerate(part.tables) if split[table]]
            if not chosen:
                continue
            packed = pack(split[part.tables[i]][part.splits[i]] for i in chosen)
            with tf.device(ps_device(part.ps)):
                rows = tf.stack([tf.size(part.ids_on_ps[i]) for i in chosen])
                pieces = unpack_rows(packed, rows, [part.widths[i] for i in chosen])
            for i, gradient in zip(chosen, pieces, strict=True):
                table = self.requests[part.tables[i]].variable
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
