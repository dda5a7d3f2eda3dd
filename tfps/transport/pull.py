"""Pull: a worker reads the parameters that it needs from every ps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfps.params.placement import ps_device
from tfps.params.shards import Shard, shards, updated_on
from tfps.params.variable_map import Values, VariableMap
from tfps.transport.messages import Wire, messages
from tfps.transport.rows import RowRequest, Rows, ShardRows, request_rows, rows_by_ps
from tfps.transport.transfer import ByteCount, Payload, total, transfer
from tfps.wire.codec import Codec, Identity, Shape, num_bytes

Versions = Mapping[int, tf.Tensor]
"""For each ps, by its index, the number of updates that an optimizer has made there, int64."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pull:
    """The result of one pull, on the worker.

    Attributes:
        whole: the whole values of variables.
        rows: for each table the unique rows that the batch needs.
        requests: the requests for these rows, one for each table.
        received_bytes: received from each ps, int64, of shape `(num_ps, 2)`: uncoded and coded.
        sent_bytes: sent to each ps, of the same dtype and shape.
        start_versions: for each effect the versions of the ps at which the step started.
    """

    whole: Values
    rows: VariableMap[Rows]
    requests: list[RowRequest]
    received_bytes: tf.Tensor
    sent_bytes: tf.Tensor
    start_versions: Mapping[Any, Versions] = dataclasses.field(default_factory=dict)

    @property
    def traffic(self) -> tf.Tensor:
        """Its bytes, int64, of shape `(num_ps, 2, 2)`: pulled and pushed, uncoded and coded."""
        return tf.stack([self.received_bytes, self.sent_bytes], axis=1)


def pull(
    whole: Sequence[keras.Variable],
    tables: Sequence[tuple[keras.Variable, Sequence[tf.Tensor]]],
    wire: Wire,
    start_versions: Mapping[Any, Versions],
    counters: Sequence[keras.Variable] = (),
) -> Pull:
    """Read the parameters of a step; to be called in a function that runs on a worker.

    Args:
        whole: variables to pull whole.
        tables: tables to pull rows of, each with the ids of its lookups, of any int dtype and
            shape; an id below 0 counts from the end.
        wire: the format in which they travel.
        start_versions: for each effect the versions at which the step starts, on the ps. The
            parameters are read after them.
        counters: variables of `whole` that count updates: the others are read after them.
    """
    requests = [request_rows(table, lookups) for table, lookups in tables]
    requested = rows_by_ps(requests)
    ids_on_ps, sent = _send_ids(requested)
    first = [shard for variable in counters for shard in shards(variable)]
    values, received, versions = _receive(whole, requested, ids_on_ps, wire, start_versions, first)
    return Pull(
        whole=VariableMap((variable, _joined(variable, values)) for variable in whole),
        rows=VariableMap(
            (request.variable, Rows(values=request.stitched(values), inverse=request.inverse))
            for request in requests
        ),
        requests=requests,
        received_bytes=total(received, wire.num_ps),
        sent_bytes=total(sent, wire.num_ps),
        start_versions=versions,
    )


def pulling(variables: Sequence[keras.Variable]) -> Callable[[], list[tf.Tensor]]:
    """Return a function that pulls the whole values of `variables`, uncoded.

    It runs on the worker under whose device it is called. It is traced once: TensorFlow warns of
    functions that are traced again for each object.
    """

    def pull_whole() -> list[tf.Tensor]:
        values, *_ = _receive(variables, {}, {}, None, {})
        return [_joined(variable, values) for variable in variables]

    traced = tf.function(pull_whole, autograph=False)
    return traced.get_concrete_function()  # type: ignore[no-any-return]


_IdsOnPs = dict[Shard, tf.Tensor]
"""For each shard the indices of the rows to read, on its ps."""
_Received = dict[Shard, tf.Tensor]
"""For each shard its value, or the rows that were read, on the worker."""


def _receive(
    whole: Sequence[keras.Variable],
    requested: dict[int, list[ShardRows]],
    ids_on_ps: _IdsOnPs,
    wire: Wire | None,
    start_versions: Mapping[Any, Versions],
    first: Sequence[Shard] = (),
) -> tuple[_Received, list[ByteCount], dict[Any, Versions]]:
    """Receive whole variables and rows; without a wire, uncoded.

    Returns:
        The values, their bytes, and the start versions, all on the worker.
    """
    shapes: dict[Shard, Shape] = {}
    coded: list[tuple[Shard, Codec]] = []
    for variable in whole:
        for shard in shards(variable):
            shapes[shard] = shard.shape
            coded.append((shard, wire.pulling(variable, shard) if wire else Identity()))
    for rows in (rows for of_ps in requested.values() for rows in of_ps):
        shapes[rows.shard] = (tf.size(rows.ids), *rows.shard.shape[1:])
        codec = wire.pulling(rows.variable, rows.shard, rows=True) if wire else Identity()
        coded.append((rows.shard, codec))

    def read(shard: Shard) -> tf.Tensor:
        ids = ids_on_ps.get(shard)
        return shard.variable.read_value() if ids is None else shard.variable.sparse_read(ids)

    values: _Received = {}
    byte_counts = []
    versions: dict[Any, dict[int, tf.Tensor]] = {effect: {} for effect in start_versions}
    by_ps = messages(coded, wire.buckets if wire else {})
    with_version = {ps for found in start_versions.values() for ps in found}
    versions_on = {
        ps: {effect: found[ps] for effect, found in start_versions.items() if ps in found}
        for ps in sorted({*by_ps, *with_version})
    }
    counted: _Received = {}
    for shard in first:
        on_ps = versions_on[shard.ps]
        with tf.device(ps_device(shard.ps)), tf.control_dependencies(list(on_ps.values())):
            counted[shard] = read(shard)
    variables = [*whole, *(rows.variable for of_ps in requested.values() for rows in of_ps)]
    for ps, on_ps in versions_on.items():
        updaters = {ps} | _updaters(variables, ps)
        earlier = [version for each in updaters for version in versions_on[each].values()]
        earlier += [value for shard, value in counted.items() if shard.ps in updaters]
        for number, message in enumerate(by_ps.get(ps, [[]])):
            with tf.device(ps_device(ps)), tf.control_dependencies(earlier):
                payloads = [
                    Payload(
                        bundle=bundle,
                        tensors=[
                            counted[shard] if shard in counted else read(shard)
                            for shard in bundle.shards
                        ],
                    )
                    for bundle in message
                ]
            extra = list(on_ps.values()) if number == 0 else []
            received, on_worker = transfer(payloads, sender=ps_device(ps), extra=extra)
            for effect, version in zip(on_ps, on_worker, strict=False):
                versions[effect][ps] = version
            for bundle in received:
                split = bundle.payload.bundle.shards
                tensors, count = bundle.decode([shapes[shard] for shard in split])
                byte_counts.append(count)
                values.update(zip(split, tensors, strict=True))
    return values, byte_counts, dict(versions)


def _updaters(variables: Sequence[keras.Variable], ps: int) -> set[int]:
    """Return the indices of the ps that update what another one holds of some variables."""
    found = set()
    for variable in variables:
        updater = updated_on(variable)
        if updater is not None and any(shard.ps == ps for shard in shards(variable)):
            found.add(updater)
    return found


def _joined(variable: keras.Variable, values: _Received) -> tf.Tensor:
    by_shard = [values[shard] for shard in shards(variable)]
    return by_shard[0] if len(by_shard) == 1 else tf.concat(by_shard, axis=0)


def _send_ids(requested: dict[int, list[ShardRows]]) -> tuple[_IdsOnPs, list[ByteCount]]:
    ids_on_ps: _IdsOnPs = {}
    byte_counts = []
    for ps, of_ps in requested.items():
        ids = [rows.ids for rows in of_ps]
        _, received = transfer([], receiver=ps_device(ps), extra=ids)
        ids_on_ps.update(zip([rows.shard for rows in of_ps], received, strict=True))
        size = num_bytes(ids)
        byte_counts.append(ByteCount(ps=ps, uncoded=size, coded=size))
    return ids_on_ps, byte_counts
