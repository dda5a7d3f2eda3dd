"""Pull: a worker reads what it needs from every ps."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfps.params.placement import ps_device
from tfps.params.shards import Shard, shards
from tfps.params.variable_map import Values, VariableMap
from tfps.transport.messages import Wire, messages
from tfps.transport.transfer import Parcel, Volume, total, transfer
from tfps.wire.codec import Codec, Identity, Shape, num_bytes

Versions = Mapping[int, tf.Tensor]
"""For each ps, by its index, how many updates of an optimizer had taken effect there, int64."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rows:
    """The pulled rows of one table.

    Attributes:
        values: the unique rows, of shape `(num_unique, *width)`.
        inverse: for each lookup of the step, positions in `values`, of the lookup's shape.
    """

    values: tf.Tensor
    inverse: Sequence[tf.Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pull:
    """What one pull brought to the worker.

    Attributes:
        whole: the whole values of variables.
        rows: for each table the unique rows that the batch needs.
        requests: the rows that were asked for, one request for each table.
        received_bytes: what came from each ps, int64, of shape `(num_ps, 2)`: uncoded and coded.
        sent_bytes: what went to each ps, the same.
        start_versions: for each effect the versions of the ps at which the step started.
    """

    whole: Values
    rows: VariableMap[Rows]
    requests: list[RowRequest]
    received_bytes: tf.Tensor
    sent_bytes: tf.Tensor
    start_versions: Mapping[Any, Versions] = dataclasses.field(default_factory=dict)


def pull(
    whole: Sequence[keras.Variable],
    tables: Sequence[tuple[keras.Variable, Sequence[tf.Tensor]]],
    wire: Wire,
    start_versions: Mapping[Any, Versions],
) -> Pull:
    """Read what a step needs; to be called in a function that runs on a worker.

    Args:
        whole: variables to pull whole.
        tables: tables to pull rows of, each with the ids of its lookups, of any int dtype and
            shape; an id below 0 counts from the end.
        wire: the format in which it travels.
        start_versions: for each effect the versions at which the step starts, on the ps. What is
            pulled is read after them.
    """
    requests = [request_rows(table, lookups) for table, lookups in tables]
    asked = rows_by_ps(requests)
    ids_on_ps, volumes_of_ids = _send_ids(asked)
    pieces, volumes, versions = _receive(whole, asked, ids_on_ps, wire, start_versions)
    return Pull(
        whole=VariableMap((variable, _joined(variable, pieces)) for variable in whole),
        rows=VariableMap(
            (request.variable, Rows(values=request.stitched(pieces), inverse=request.inverse))
            for request in requests
        ),
        requests=requests,
        received_bytes=total(volumes, wire.num_ps),
        sent_bytes=total(volumes_of_ids, wire.num_ps),
        start_versions=versions,
    )


def pulling(variables: Sequence[keras.Variable]) -> Callable[[], list[tf.Tensor]]:
    """Return a function that gives the whole values of `variables`, as they are.

    It runs on the worker under whose device it is called, and is traced once: TensorFlow warns of
    those that are traced again for each object.
    """

    def pull_whole() -> list[tf.Tensor]:
        pieces, *_ = _receive(variables, {}, {}, None, {})
        return [_joined(variable, pieces) for variable in variables]

    traced = tf.function(pull_whole, autograph=False)
    return traced.get_concrete_function()  # type: ignore[no-any-return]


_IdsOnPs = dict[Shard, tf.Tensor]
"""For each shard the ids of the rows to read, on its ps."""
_Received = dict[Shard, tf.Tensor]
"""For each shard its value, or the rows that were read, on the worker."""


def _receive(
    whole: Sequence[keras.Variable],
    asked: dict[int, list[ShardRows]],
    ids_on_ps: _IdsOnPs,
    wire: Wire | None,
    start_versions: Mapping[Any, Versions],
) -> tuple[_Received, list[Volume], dict[Any, Versions]]:
    """Receive whole variables and rows; what a message has in one codec is packed together.

    Returns:
        The pieces, the bytes, and the start versions on the worker.
    """
    shapes: dict[Shard, Shape] = {}
    coded: list[tuple[Shard, Codec]] = []
    for variable in whole:
        for shard in shards(variable):
            shapes[shard] = shard.shape
            coded.append((shard, wire.pulling(variable, shard) if wire else Identity()))
    for rows in (rows for of_ps in asked.values() for rows in of_ps):
        shapes[rows.shard] = (tf.size(rows.ids), *rows.shard.shape[1:])
        codec = wire.pulling(rows.variable, rows.shard, rows=True) if wire else Identity()
        coded.append((rows.shard, codec))

    def read(shard: Shard) -> tf.Tensor:
        ids = ids_on_ps.get(shard)
        return shard.variable.read_value() if ids is None else shard.variable.sparse_read(ids)

    pieces: _Received = {}
    volumes = []
    received_versions: dict[Any, Versions] = {effect: {} for effect in start_versions}
    told: set[int] = set()
    for message in messages(coded, wire.buckets if wire else {}):
        ps, sender = message.ps, ps_device(message.ps)
        versions = {key: of_ps[ps] for key, of_ps in start_versions.items() if ps in of_ps}
        with tf.device(sender), tf.control_dependencies(list(versions.values())):
            parcels = [
                Parcel(bundle=bundle, tensors=[read(shard) for shard in bundle.shards])
                for bundle in message.bundles
            ]
        along = [] if ps in told else list(versions.values())
        arrived, came = transfer(parcels, sender=sender, along=along)
        for key, version in zip(versions, came, strict=False):
            received_versions[key] = {**received_versions[key], ps: version}
        told.add(ps)
        for one in arrived:
            of_bundle = one.parcel.bundle.shards
            tensors, volume = one.decode([shapes[shard] for shard in of_bundle])
            volumes.append(volume)
            for shard, piece in zip(of_bundle, tensors, strict=True):
                pieces[shard] = piece
    return pieces, volumes, received_versions


def _joined(variable: keras.Variable, pieces: _Received) -> tf.Tensor:
    split = [pieces[shard] for shard in shards(variable)]
    return split[0] if len(split) == 1 else tf.concat(split, axis=0)


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

    def stitched(self, pieces: _Received) -> tf.Tensor:
        """Return the unique rows, of shape `(num_unique, *width)`, put together from the shards."""
        split = [pieces[shard] for shard in shards(self.variable)]
        return split[0] if len(split) == 1 else tf.dynamic_stitch(self.positions, split)

    def split(self, rows: tf.Tensor) -> list[tf.Tensor]:
        """Return those of the unique rows, or of what belongs to them, that each shard has."""
        if len(self.positions) == 1:
            return [rows]
        return [tf.gather(rows, positions) for positions in self.positions]


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
class ShardRows:
    """The rows that are asked of one shard.

    Attributes:
        variable: the table.
        shard: the shard.
        ids: the rows, counted from the shard's first, int32, on the worker.
    """

    variable: keras.Variable
    shard: Shard
    ids: tf.Tensor


def rows_by_ps(requests: Sequence[RowRequest]) -> dict[int, list[ShardRows]]:
    """Return what is asked of each ps, in the order of the requests."""
    asked: dict[int, list[ShardRows]] = collections.defaultdict(list)
    for request in requests:
        for shard, ids in zip(shards(request.variable), request.local_ids, strict=True):
            asked[shard.ps].append(ShardRows(variable=request.variable, shard=shard, ids=ids))
    return dict(asked)


def _send_ids(asked: dict[int, list[ShardRows]]) -> tuple[_IdsOnPs, list[Volume]]:
    ids_on_ps: _IdsOnPs = {}
    volumes = []
    for ps, rows in asked.items():
        ids = [one.ids for one in rows]
        _, there = transfer([], receiver=ps_device(ps), along=ids)
        ids_on_ps |= {one.shard: on_ps for one, on_ps in zip(rows, there, strict=True)}
        size = num_bytes(ids)
        volumes.append(Volume(ps=ps, uncoded=size, coded=size))
    return ids_on_ps, volumes
