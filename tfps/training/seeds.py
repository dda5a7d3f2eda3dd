"""Seeds for a tf.data.Dataset that several workers run: all must draw the same numbers."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

_FIRST_SEED_INPUT = {"RandomDataset": 0, "RandomDatasetV2": 0}  # of a shuffle it is 2
_GENERATOR_INPUTS = slice(4, None)


def with_seeds(serialized: bytes) -> bytes:
    """Return the graph of a dataset with a seed for each random op that had none.

    These are shuffles, samplings and random numbers, also in the functions that the dataset maps.
    Every copy of the graph then yields the same elements.
    """
    graph = tf.compat.v1.GraphDef.FromString(serialized)
    _seed_nodes(graph.node, output="")
    for function in graph.library.function:
        _seed_nodes(function.node_def, output=":output:0")
    return bytes(graph.SerializeToString())


def _seed_nodes(nodes: Any, output: str) -> None:
    """Seed the nodes of a graph, where an input is the name of a constant, then `output`."""
    constants = {node.name: node for node in nodes if node.op == "Const"}
    for node in list(nodes):
        if node.op.startswith("Shuffle"):
            for name in node.input[_GENERATOR_INPUTS]:
                _detach_generator(constants.get(name))
        seeds = _seed_inputs(node)
        if len(seeds) == 2 and all(_is_zero(constants, node.input[i]) for i in seeds):
            for i, seed in zip(seeds, _random_seeds(), strict=False):
                name = f"{node.name}/tfps_seed{i}"
                nodes.append(_constant(name, seed))
                node.input[i] = f"{name}{output}"
        elif {"seed", "seed2"} <= set(node.attr):
            attributes = node.attr["seed"], node.attr["seed2"]
            if not any(attribute.i for attribute in attributes):
                for attribute, seed in zip(attributes, _random_seeds(), strict=False):
                    attribute.i = seed


def _seed_inputs(node: Any) -> list[int]:
    """Return which inputs of a node are its two seeds, if it has such inputs."""
    if node.op.startswith("Shuffle"):
        first = 2
    elif node.op in _FIRST_SEED_INPUT:
        first = _FIRST_SEED_INPUT[node.op]
    else:
        return []
    return [i for i in (first, first + 1) if i < len(node.input)]


def _random_seeds() -> Iterator[int]:
    generator = np.random.default_rng()
    while True:
        yield int(generator.integers(1, 2**31))


def _detach_generator(handle: Any) -> None:
    """Refer to a generator that does not exist: a shuffle then creates one of its own."""
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
