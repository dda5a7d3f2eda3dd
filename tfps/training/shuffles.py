"""The shuffles of a tf.data.Dataset that several workers run, each keeping its share."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import tensorflow as tf


def with_seeds(serialized: bytes) -> bytes:
    """Give every shuffle of a dataset's graph that has no seed one drawn here.

    Each copy of the graph then shuffles alike: no copy draws from the chief's seed generators.
    """
    graph = tf.compat.v1.GraphDef.FromString(serialized)
    constants = {node.name: node for node in graph.node if node.op == "Const"}
    for node in list(graph.node):
        if not node.op.startswith("Shuffle"):
            continue
        for name in node.input[4:]:
            _leave_generator(constants.get(name))
        seeds = [i for i in (2, 3) if i < len(node.input) and _is_zero(constants, node.input[i])]
        if len(seeds) == 2:
            for i in seeds:
                name = f"{node.name}/tfps_seed{i}"
                value = int(np.random.default_rng().integers(1, 2**31))
                graph.node.append(_constant(name, value))
                node.input[i] = name
    return bytes(graph.SerializeToString())


def _leave_generator(handle: Any) -> None:
    """Name a generator that nobody has: a shuffle that does not find its own makes one."""
    if handle is not None:
        for value in handle.attr["value"].tensor.resource_handle_val:
            value.name = f"tfps_{uuid.uuid4().hex}"


def _is_zero(constants: dict[str, Any], name: str) -> bool:
    node = constants.get(name.split(":")[0])
    return node is not None and not np.any(tf.make_ndarray(node.attr["value"].tensor))


def _constant(name: str, value: int) -> Any:
    node = tf.compat.v1.NodeDef(name=name, op="Const")
    node.attr["dtype"].type = tf.int64.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, tf.int64))
    return node
