"""Pull: a worker reads what it needs from every ps."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import keras
import tensorflow as tf

from tfps.params.placement import ps_device
from tfps.params.shards import Shard, shards
from tfps.step.compute import Rows
from tfps.step.packing import pack, unpack, unpack_rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pull:
    """What one pull brought to the worker.

    Attributes:
        whole: variables with their whole values.
        rows: tables with the unique rows that the batch needs.
        requests: the rows that were asked for, one request for each table.
        sent: the same, as they lie on the ps.
    """

    whole: list[tuple[keras.Variable, tf.Tensor]]
    rows: list[tuple[keras.Variable, Rows]]
    requests: list[RowRequest]
    sent: list[RowShards]

    @property
    def values(self) -> dict[int, tf.Tensor]:
        """The whole values, by `id` of the variable."""
        return {id(variable): value for variable, value in self.whole}


def pull(
    whole: Sequence[keras.Variable],
    tables: Sequence[tuple[keras.Variable, Sequence[tf.Tensor]]],
) -> Pull:
    """Read what a step needs; to be called in a function that runs on a worker.

    Args:
        whole: variables to pull whole.
        tables: tables to pull rows of, each with the ids of its lookups, of any int dtype and
            shape; an id below 0 counts from the end.
    """
    requests = [request_rows(table, lookups) for table, lookups in tables]
    sent = send_requests(requests)
    rows = pull_rows(requests, sent)
    return Pull(
        whole=list(zip(whole, pull_whole(whole), strict=True)),
        rows=[
            (request.variable, Rows(values=unique, inverse=request.inverse))
            for request, unique in zip(requests, rows, strict=True)
        ],
        requests=requests,
        sent=sent,
    )


def pull_whole(variables: Sequence[keras.Variable]) -> list[tf.Tensor]:
    """Return the whole values of `variables`; one message per ps and dtype.

    To be called in a function that runs on a worker; the values are on the worker.
    """
    pieces: dict[int, tf.Tensor] = {}
    all_shards = [shards(variable) for variable in variables]
    for ps, group in by_ps_and_dtype(shard for split in all_shards for shard in split):
        with tf.device(ps_device(ps)):
            packed = pack(shard.variable.read_value() for shard in group)
        for shard, piece in zip(group, unpack(packed, [s.shape for s in group]), strict=True):
            pieces[id(shard.variable)] = piece
    return [_joined([pieces[id(shard.variable)] for shard in split]) for split in all_shards]


def _joined(pieces: list[tf.Tensor]) -> tf.Tensor:
    return pieces[0] if len(pieces) == 1 else tf.concat(pieces, axis=0)


def by_ps_and_dtype(all_shards: Iterable[Shard]) -> Iterator[tuple[int, list[Shard]]]:
    """Group shards into those that can travel in one message."""
    groups: dict[tuple[int, tf.DType], list[Shard]] = collections.defaultdict(list)
    for shard in all_shards:
        groups[shard.ps, shard.variable.dtype].append(shard)
    for (ps, _), group in sorted(groups.items(), key=lambda item: (item[0][0], item[0][1].name)):
        yield ps, group


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowRequest:
    """The unique rows of one table that a batch needs, and where they lie.

    Attributes:
        variable: the table, of shape `(rows, *width)`.
        inverse: for each lookup of the batch, positions in the unique rows, of the lookup's shape.
        ids: the unique rows, int64.
        local_ids: for each shard, the rows asked of it, counted from its first, int32.
        positions: for each shard, where its rows stand among the unique ones, int32.
    """

    variable: keras.Variable
    inverse: list[tf.Tensor]
    ids: tf.Tensor
    local_ids: list[tf.Tensor]
    positions: list[tf.Tensor]


def request_rows(table: keras.Variable, lookups: Sequence[tf.Tensor]) -> RowRequest:
    """Find the unique rows of `table` that `lookups`, int tensors of any shapes, ask for."""
    num_rows = table.shape[0]
    flat = tf.concat([tf.reshape(tf.cast(ids, tf.int64), [-1]) for ids in lookups], axis=0)
    flat = tf.where(flat < 0, flat + num_rows, flat)  # as keras.ops.take does
    unique, inverse = tf.unique(flat, out_idx=tf.int32)
    split = shards(table)
    if len(split) == 1:
        local_ids, positions = [tf.cast(unique, tf.int32)], [tf.range(tf.size(unique))]
    else:
        starts = tf.constant([shard.first_row for shard in split], tf.int64)
        owner = tf.searchsorted(starts, unique, side="right") - 1
        local = tf.cast(unique - tf.gather(starts, tf.maximum(owner, 0)), tf.int32)
        owner = tf.clip_by_value(owner, 0, len(split) - 1)
        local_ids = tf.dynamic_partition(local, owner, len(split))
        positions = tf.dynamic_partition(tf.range(tf.size(unique)), owner, len(split))
    return RowRequest(
        variable=table,
        inverse=_per_lookup(inverse, lookups),
        ids=unique,
        local_ids=local_ids,
        positions=positions,
    )


def _per_lookup(inverse: tf.Tensor, lookups: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    sizes = [tf.size(ids) for ids in lookups]
    pieces = [inverse] if len(sizes) == 1 else tf.split(inverse, tf.stack(sizes), num=len(sizes))
    shaped = [tf.reshape(piece, tf.shape(ids)) for piece, ids in zip(pieces, lookups, strict=True)]
    for piece, ids in zip(shaped, lookups, strict=True):
        piece.set_shape(ids.shape)
    return shaped


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowShards:
    """Of one ps and dtype: the shards that rows are asked of, and their ids, on that ps.

    Attributes:
        ps: the index of the ps.
        shards: the shards, one for each pair of table and ps.
        tables: for each shard, the position of its request among the requests.
        splits: for each shard, its position among the shards of its table.
        rows: how many rows are asked of each shard, int32, of shape `(len(shards),)`.
        ids_on_ps: for each shard, the local ids, int32, a tensor that lies on the ps.
    """

    ps: int
    shards: list[Shard]
    tables: list[int]
    splits: list[int]
    rows: tf.Tensor
    ids_on_ps: list[tf.Tensor]

    @property
    def widths(self) -> list[tuple[int, ...]]:
        """The shape of a row of each shard."""
        return [shard.shape[1:] for shard in self.shards]


def send_requests(requests: Sequence[RowRequest]) -> list[RowShards]:
    """Send the ids of all tables to the ps that hold their rows; one message per ps and dtype."""
    owners = {
        id(shard.variable): (table, split)
        for table, request in enumerate(requests)
        for split, shard in enumerate(shards(request.variable))
    }
    found = [shard for request in requests for shard in shards(request.variable)]
    sent = []
    for ps, group in by_ps_and_dtype(found):
        tables, splits = zip(*(owners[id(shard.variable)] for shard in group), strict=True)
        ids = [requests[t].local_ids[s] for t, s in zip(tables, splits, strict=True)]
        rows = tf.stack([tf.size(i) for i in ids])
        packed = pack([rows, *ids])
        with tf.device(ps_device(ps)):
            on_ps = tf.split(
                packed, tf.concat([[len(ids)], packed[: len(ids)]], 0), num=len(ids) + 1
            )
        sent.append(
            RowShards(ps=ps, shards=group, tables=list(tables), splits=list(splits), rows=rows,
                      ids_on_ps=on_ps[1:])
        )  # fmt: skip
    return sent


def pull_rows(requests: Sequence[RowRequest], sent: Sequence[RowShards]) -> list[tf.Tensor]:
    """Return the unique rows of each request, of shape `(num_unique, *width)`, on the worker."""
    rows: list[dict[int, tf.Tensor]] = [{} for _ in requests]
    for part in sent:
        with tf.device(ps_device(part.ps)):
            packed = pack(
                shard.variable.sparse_read(ids)
                for shard, ids in zip(part.shards, part.ids_on_ps, strict=True)
            )
        pieces = unpack_rows(packed, part.rows, part.widths)
        for table, split, piece in zip(part.tables, part.splits, pieces, strict=True):
            rows[table][split] = piece
    return [_stitched(request, pieces) for request, pieces in zip(requests, rows, strict=True)]


def _stitched(request: RowRequest, pieces: dict[int, tf.Tensor]) -> tf.Tensor:
    if len(pieces) == 1:
        return pieces[0]
    return tf.dynamic_stitch(request.positions, [pieces[split] for split in range(len(pieces))])
