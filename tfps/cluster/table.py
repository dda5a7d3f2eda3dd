"""A table of names and numbers on a ps, through which tasks outside of the cluster are reached."""

from __future__ import annotations

import contextlib

import tensorflow as tf

from tfps.cluster import addresses
from tfps.cluster.ending import only
from tfps.cluster.spec import ClusterSpec, Task

_PS = Task(type="ps", index=0)
_CALL_TIMEOUT_S = 5.0


class Table:
    """A table in TensorFlow's server of ps 0. It goes when the ps goes."""

    def __init__(self, spec: ClusterSpec, name: str) -> None:
        """Take the cluster, and the table's name. It is made by who comes first."""
        self._address = spec.address(_PS)
        self._session: tf.compat.v1.Session | None = None
        self._graph = tf.Graph()
        with self._graph.as_default(), tf.device(f"/job:{_PS.type}/task:{_PS.index}/device:CPU:0"):
            table = tf.raw_ops.MutableHashTableV2(
                key_dtype=tf.string, value_dtype=tf.int64, shared_name=name
            )
            self._name = tf.compat.v1.placeholder(tf.string, [1])
            self._number = tf.compat.v1.placeholder(tf.int64, [1])
            write = tf.raw_ops.LookupTableInsertV2(
                table_handle=table, keys=self._name, values=self._number
            )
            with tf.control_dependencies([write]):
                self._all = tf.raw_ops.LookupTableExportV2(
                    table_handle=table, Tkeys=tf.string, Tvalues=tf.int64
                )

    def exchange(self, name: str, number: int) -> dict[str, int]:
        """Write one number; return all that are there, or nothing if the ps does not answer."""
        # A session waits out its whole timeout on an address where nobody listens.
        if self._session is None and not addresses.accepts_connections(self._address):
            return {}
        try:
            self._session = self._session or self._connect()
            names, numbers = self._session.run(
                self._all, {self._name: [name], self._number: [number]}
            )
        except tf.errors.OpError:
            self.close()
            return {}
        return {name.decode(): int(number) for name, number in zip(names, numbers, strict=True)}

    def close(self) -> None:
        """Close the connection to the ps; the table stays."""
        with contextlib.suppress(tf.errors.OpError):
            if self._session is not None:
                self._session.close()
        self._session = None

    def _connect(self) -> tf.compat.v1.Session:
        config = only(_PS)
        config.operation_timeout_in_ms = int(_CALL_TIMEOUT_S * 1000)
        return tf.compat.v1.Session(f"grpc://{self._address}", graph=self._graph, config=config)
