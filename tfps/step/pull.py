"""Pull: a worker reads what it needs from every ps."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import keras
import tensorflow as tf

from tfps.params.placement import ps_device
from tfps.params.shards import Shard, shards
from tfps.step.compute import Rows
from tfps.step.transfer import Bundle, Transferred, Volume, Wire, bundles, total, transfer
from tfps.wire.codec import Codec, Identity, num_bytes, pack


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pull:
    """What one pull brought to the worker.

    Attributes:
        whole: variables with their whole values.
        rows: tables with the unique rows that the batch needs.
        requests: the rows that were asked for, one request for each table.
        sent: the same, as they lie on the ps.
        received_bytes: what came from each ps, int64, of shape `(num_ps, 2)`: uncoded and coded.
        sent_bytes: what went to each ps, the same.
    """

    whole: list[tuple[keras.Variable, tf.Tensor]]
    rows: list[tuple[keras.Variable, Rows]]
    requests: list[RowRequest]
    sent: list[RowShards]
    received_bytes: tf.Tensor
    sent_bytes: tf.Tensor

    @property
    def values(self) -> dict[int, tf.Tensor]:
        """The whole values, by `id` of the variable."""
        return {id(variable): value for variable, value in self.whole}


def pull(
    whole: Sequence[keras.Variable],
    tables: Sequence[tuple[keras.Variable, Sequence[tf.Tensor]]],
    wire: Wire,
) -> Pull:
    """Read what a step needs; to be called in a function that runs on a worker.

    Args:
        whole: variables to pull whole.
        tables: tables to pull rows of, each with the ids of its lookups, of any int dtype and
            shape; an id below 0 counts from the end.
        wire: the format in which it travels.
    """
    requests = [request_rows(table, lookups) for table, lookups in tables]
    sent, volumes_sent = send_requests(requests)
    rows, volumes_of_rows = pull_rows(requests, sent, wire)
    values, volumes = pull_whole(whole, wire)
    return Pull(
        whole=list(zip(whole, values, strict=True)),
        rows=[
            (request.variable, Rows(values=unique, inverse=request.inverse))
            for request, unique in zip(requests, rows, strict=True)
        ],
        requests=requests,
        sent=sent,
        received_bytes=total([*volumes, *volumes_of_rows], wire.num_ps),
        sent_bytes=total(volumes_sent, wire.num_ps),
    )


def pull_whole(
    variables: Sequence[keras.Variable], wire: Wire | None = None
) -> tuple[list[tf.Tensor], list[Volume]]:
    """Return the whole values of `variables`, on the worker, and the bytes that came for them.

    To be called in a function that runs on a worker.

    Args:
        variables: variables that lie on the ps.
        wire: the format in which they travel; None as they are.
    """
    pieces: dict[int, tf.Tensor] = {}
    volumes = []
    all_shards = [shards(variable) for variable in variables]
    coded: list[tuple[Shard, Codec]] = [
        (shard, wire.pulling(variable, shard) if wire else Identity())
        for variable, split in zip(variables, all_shards, strict=True)
        for shard in split
    ]
    for bundle in bundles(coded):
        device = ps_device(bundle.ps)
        with tf.device(device):
            values = [shard.variable.read_value() for shard in bundle.shards]
        shapes = [shard.shape for shard in bundle.shards]
        arrived = transfer(bundle, values, shapes, sender=device)
        volumes.append(arrived.volume)
        for shard, piece in zip(bundle.shards, arrived.tensors, strict=True):
            pieces[id(shard.variable)] = piece
    joined = [_joined([pieces[id(shard.variable)] for shard in split]) for split in all_shards]
    return joined, volumes


def _joined(pieces: list[tf.Tensor]) -> tf.Tensor:
    return pieces[0] if len(pieces) == 1 else tf.concat(pieces, axis=0)


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
        ids_on_ps: for each shard, the local ids, int32, a tensor that lies on the ps.
    """

    ps: int
    shards: list[Shard]
    tables: list[int]
    splits: list[int]
    ids_on_ps: list[tf.Tensor]


def send_requests(requests: Sequence[RowRequest]) -> tuple[list[RowShards], list[Volume]]:
    """Send the ids of all tables to the ps that hold their rows; one message per ps and dtype."""
    owners = {
        id(shard.variable): (table, split)
        for table, request in enumerate(requests)
        for split, shard in enumerate(shards(request.variable))
    }
    found = [(shard, Identity()) for request in requests for shard in shards(request.variable)]
    sent, volumes = [], []
    for bundle in bundles(found):
        tables, splits = zip(*(owners[id(shard.variable)] for shard in bundle.shards), strict=True)
        ids = [requests[t].local_ids[s] for t, s in zip(tables, splits, strict=True)]
        packed = pack([tf.stack([tf.size(i) for i in ids]), *ids])
        with tf.device(ps_device(bundle.ps)):
            sizes = tf.concat([[len(ids)], packed[: len(ids)]], 0)
            on_ps = tf.split(packed, sizes, num=len(ids) + 1)
        sent.append(
            RowShards(ps=bundle.ps, shards=bundle.shards, tables=list(tables),
                      splits=list(splits), ids_on_ps=on_ps[1:])
        )  # fmt: skip
        size = num_bytes([packed])
        volumes.append(Volume(ps=bundle.ps, uncoded=size, coded=size))
    return sent, volumes


def asked_again(pulled: Pull) -> Pull:
    """Send the requests of a pull once more; its `sent_bytes` become those of doing so."""
    sent, volumes = send_requests(pulled.requests)
    sent_bytes = total(volumes, pulled.sent_bytes.shape[0])
    return dataclasses.replace(pulled, sent=sent, sent_bytes=sent_bytes)


def pull_rows(
    requests: Sequence[RowRequest], sent: Sequence[RowShards], wire: Wire
) -> tuple[list[tf.Tensor], list[Volume]]:
    """Return the unique rows of each request, of shape `(num_unique, *width)`, on the worker."""
    rows: list[dict[int, tf.Tensor]] = [{} for _ in requests]
    volumes = []
    for part in sent:
        asked = {id(shard.variable): index for index, shard in enumerate(part.shards)}
        coded = [
            (shard, wire.pulling(requests[table].variable, shard, rows=True))
            for shard, table in zip(part.shards, part.tables, strict=True)
        ]
        for bundle in bundles(coded):
            chosen = [asked[id(shard.variable)] for shard in bundle.shards]
            arrived = _pull_bundle_of_rows(requests, part, bundle, chosen)
            volumes.append(arrived.volume)
            for index, piece in zip(chosen, arrived.tensors, strict=True):
                rows[part.tables[index]][part.splits[index]] = piece
    stitched = [_stitched(request, parts) for request, parts in zip(requests, rows, strict=True)]
    return stitched, volumes


def _pull_bundle_of_rows(
    requests: Sequence[RowRequest], part: RowShards, bundle: Bundle, chosen: Sequence[int]
) -> Transferred:
    device = ps_device(part.ps)
    with tf.device(device):
        values = [part.shards[i].variable.sparse_read(part.ids_on_ps[i]) for i in chosen]
    asked = [requests[part.tables[i]].local_ids[part.splits[i]] for i in chosen]
    shapes = [(tf.size(a), *part.shards[i].shape[1:]) for a, i in zip(asked, chosen, strict=True)]
    return transfer(bundle, values, shapes, sender=device)


def _stitched(request: RowRequest, pieces: dict[int, tf.Tensor]) -> tf.Tensor:
    if len(pieces) == 1:
        return pieces[0]
    return tf.dynamic_stitch(request.positions, [pieces[split] for split in range(len(pieces))])
