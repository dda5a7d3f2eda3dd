"""What a tf.data.Dataset is made of."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.data.ops import (
    batch_op,
    dataset_ops,
    map_op,
    padded_batch_op,
    prefetch_op,
    ragged_batch_op,
    repeat_op,
    shard_op,
    shuffle_op,
    skip_op,
    take_op,
    zip_op,
)
from tensorflow.python.data.util import structure
from tensorflow.python.eager import context

_copy: contextvars.ContextVar[Callable[[Any], tf.Tensor] | None] = contextvars.ContextVar(
    "tfps_copy", default=None
)

_PYTHON_OPS = frozenset({"EagerPyFunc", "PyFunc", "PyFuncStateless"})


@dataclasses.dataclass(frozen=True)
class Transformation:
    """The last transformation of a dataset.

    Attributes:
        inputs: the datasets that it transforms.
    """

    inputs: tuple[tf.data.Dataset, ...]


@dataclasses.dataclass(frozen=True)
class Neutral(Transformation):
    """Changes neither the elements nor their order, as a prefetch."""


@dataclasses.dataclass(frozen=True)
class Reordering(Transformation):
    """Picks and orders elements, whatever they are.

    Attributes:
        of: does the same to another dataset.
    """

    of: Callable[[tf.data.Dataset], tf.data.Dataset]


@dataclasses.dataclass(frozen=True)
class Batching(Transformation):
    """Makes batches of elements that follow each other.

    Attributes:
        size: the number of elements in a batch.
        drop_remainder: whether a last batch of fewer is dropped.
        of: does the same to another dataset.
    """

    size: int
    drop_remainder: bool
    of: Callable[[tf.data.Dataset], tf.data.Dataset]


@dataclasses.dataclass(frozen=True)
class Mapping(Transformation):
    """Maps a function over the elements.

    Attributes:
        function: the function of an element, to be called within a map.
        can_move: whether it does the same in several processes: it uses no variables, calls no
            Python functions, and draws no random numbers by a seed.
    """

    function: Callable[[Any], Any]
    can_move: bool


@dataclasses.dataclass(frozen=True)
class Zipping(Transformation):
    """Pairs the elements of several datasets.

    Attributes:
        structure: any structure of numbers: which of `inputs` gives this part of an element.
    """

    structure: Any


@dataclasses.dataclass(frozen=True)
class Other(Transformation):
    """Anything else, and a source of data.

    Attributes:
        name: what tf.data calls it.
    """

    name: str


def transformation(dataset: tf.data.Dataset) -> Transformation:
    """Return the last transformation of a dataset."""
    inputs = tuple(dataset._inputs())
    if isinstance(dataset, dataset_ops.DatasetV1Adapter):
        return Neutral((dataset._dataset,))
    if isinstance(dataset, prefetch_op._PrefetchDataset | dataset_ops._OptionsDataset):
        return Neutral(inputs)
    if isinstance(dataset, map_op._MapDataset | map_op._ParallelMapDataset):
        return _mapping(dataset, inputs)
    if (batch := _batching(dataset, inputs)) is not None:
        return batch
    if isinstance(dataset, zip_op._ZipDataset):
        numbers = range(len(inputs))
        return Zipping(inputs, tf.nest.pack_sequence_as(dataset._datasets, list(numbers)))
    if (reorder := _reordering(dataset)) is not None:
        return Reordering(inputs, reorder)
    name = type(dataset).__name__.strip("_").removesuffix("Dataset").lower()
    return Other(inputs, "unbatch" if name == "restructured" else name)


def _mapping(dataset: Any, inputs: tuple[tf.data.Dataset, ...]) -> Mapping:
    traced = dataset._map_func.function
    graph = traced.graph.as_graph_def()
    given, returned = inputs[0].element_spec, dataset.element_spec

    def function(element: Any) -> Any:
        results = traced(*structure.to_tensor_list(given, element))
        flat = tf.nest.flatten(results)
        return structure.from_compatible_tensor_list(returned, flat)

    return Mapping(
        inputs,
        function,
        can_move=not (traced.graph.variables or calls_python(graph) or _draws_by_seed(graph)),
    )


@contextlib.contextmanager
def copied(copy: Callable[[tf.data.Dataset], tf.data.Dataset]) -> Iterator[None]:
    """Have datasets of the chief that the block derives others from copied to where it runs.

    Args:
        copy: returns a copy of a dataset on the device that is current.
    """
    copies: dict[int, tuple[Any, tf.Tensor]] = {}  # with the datasets, which must live on

    def variant(dataset: Any) -> tf.Tensor:
        given = dataset._variant_tensor_attr
        if not tf.executing_eagerly():
            with tf.init_scope():
                return variant(dataset)
        if not hasattr(given, "numpy") or tf.DeviceSpec.from_string(given.device).job == _job():
            return given
        if id(dataset) not in copies:
            token = _copy.set(None)
            try:
                copies[id(dataset)] = dataset, copy(dataset)._variant_tensor_attr
            finally:
                _copy.reset(token)
        return copies[id(dataset)][1]

    token = _copy.set(variant)
    try:
        yield
    finally:
        _copy.reset(token)


def _job() -> Any:
    return tf.DeviceSpec.from_string(context.context().device_name).job


def _variant_tensor(dataset: Any) -> tf.Tensor:
    copy = _copy.get()
    return dataset._variant_tensor_attr if copy is None else copy(dataset)


tf.data.Dataset._variant_tensor = property(_variant_tensor)


def _nodes(graph: Any) -> Iterator[Any]:
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def calls_python(graph: Any) -> bool:
    """Whether a graph, or a serialised one, calls functions of the process that made it."""
    if isinstance(graph, bytes):
        graph = tf.compat.v1.GraphDef.FromString(graph)
    return any(node.op in _PYTHON_OPS for node in _nodes(graph))


def _draws_by_seed(graph: Any) -> bool:
    """Whether a graph has random ops with a seed, whose numbers depend on those drawn before."""
    return any(
        {"seed", "seed2"} <= set(node.attr) and (node.attr["seed"].i or node.attr["seed2"].i)
        for node in _nodes(graph)
    )


def shuffles_without_seed(graph: bytes) -> bool:
    """Whether a serialised graph shuffles in an order that differs from copy to copy."""
    definition = tf.compat.v1.GraphDef.FromString(graph)
    parts = [definition.node, *(function.node_def for function in definition.library.function)]
    for nodes in parts:
        constants = {node.name: node for node in nodes if node.op == "Const"}
        for node in nodes:
            if not node.op.startswith("Shuffle"):
                continue
            seeds = [constants.get(name.split(":")[0]) for name in node.input[2:4]]
            values = [seed and tf.make_ndarray(seed.attr["value"].tensor) for seed in seeds]
            if values == [0, 0]:
                return True
    return False


def _batching(dataset: Any, inputs: tuple[tf.data.Dataset, ...]) -> Batching | None:
    padded = isinstance(dataset, padded_batch_op._PaddedBatchDataset)
    if not padded and not isinstance(
        dataset, batch_op._BatchDataset | batch_op._ParallelBatchDataset
    ):
        return None
    size = tf.get_static_value(dataset._batch_size)
    drop = tf.get_static_value(dataset._drop_remainder)

    ragged = inputs[0] if isinstance(inputs[0], ragged_batch_op._DenseToRaggedDataset) else None
    if ragged is not None:
        inputs = tuple(ragged._inputs())

    def of(other: tf.data.Dataset) -> tf.data.Dataset:
        if ragged is not None:
            return other.ragged_batch(size, drop, _row_splits_dtype(ragged.element_spec))
        if padded:
            shapes, values = dataset._padded_shapes, dataset._padding_values
            return other.padded_batch(size, shapes, values, drop_remainder=drop)
        return other.batch(size, drop_remainder=drop)

    return Batching(inputs, int(size), bool(drop), of)


def _row_splits_dtype(spec: Any) -> tf.DType:
    leaves = [leaf for leaf in tf.nest.flatten(spec) if isinstance(leaf, tf.RaggedTensorSpec)]
    return leaves[0].row_splits_dtype if leaves else tf.int64


def _reordering(dataset: Any) -> Callable[[tf.data.Dataset], tf.data.Dataset] | None:
    if isinstance(dataset, take_op._TakeDataset):
        return lambda other: other.take(dataset._count)
    if isinstance(dataset, skip_op._SkipDataset):
        return lambda other: other.skip(dataset._count)
    if isinstance(dataset, repeat_op._RepeatDataset):
        return lambda other: other.repeat(dataset._count)
    if isinstance(dataset, shard_op._ShardDataset):
        return lambda other: other.shard(dataset._num_shards, dataset._index)
    if isinstance(dataset, shuffle_op._ShuffleDataset):
        return lambda other: _shuffled(other, dataset)
    return None


def _shuffled(other: tf.data.Dataset, like: Any) -> tf.data.Dataset:
    """Shuffle as another dataset does, whose seeds are those that its op got."""
    spec = other.element_spec
    variant = tf.raw_ops.ShuffleDatasetV3(
        input_dataset=tf.data.experimental.to_variant(other),
        buffer_size=like._buffer_size,
        seed=like._seed,
        seed2=like._seed2,
        seed_generator=tf.raw_ops.DummySeedGenerator(),
        reshuffle_each_iteration=like._reshuffle_each_iteration,
        output_types=structure.get_flat_tensor_types(spec),
        output_shapes=structure.get_flat_tensor_shapes(spec),
    )
    return tf.data.experimental.from_variant(variant, spec)
