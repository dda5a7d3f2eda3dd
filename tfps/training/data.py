"""The data that each worker reads: Keras's forms of data, as one dataset per worker.

The batches of a `tf.data.Dataset` and of arrays are dealt out in turn: with W workers, batch b goes
to worker b % W, and is batch b // W there. So each epoch visits every example exactly once, in as
many steps as on one machine, and the order of predictions can be restored.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from typing_extensions import override

from tfps.training.seeds import with_seeds

Preprocess = Callable[..., Any]

_PYTHON_FUNCTIONS = frozenset({"EagerPyFunc", "PyFunc", "PyFuncStateless"})
_MAX_MESSAGE_BYTES = 2**31 - 1  # a protobuf message, which carries a tensor to a worker


class Source(abc.ABC):
    """Data that can be read by every worker."""

    @abc.abstractmethod
    def on_worker(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        """Build the batched dataset of one worker.

        To be called eagerly under the device of that worker, where everything that it creates then
        lies, lookup tables included.

        Args:
            context: says which worker it is, and how many there are.
        """

    @property
    def num_batches(self) -> int | None:
        """The number of batches that all workers read in an epoch; None if it is not known."""
        return None


@dataclasses.dataclass(frozen=True)
class FunctionSource(Source):
    """A function from the input context to a dataset of batches: each worker builds its own."""

    function: Callable[[tf.distribute.InputContext], tf.data.Dataset]

    @override
    def on_worker(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        dataset = self.function(context)
        if not isinstance(dataset, tf.data.Dataset):
            raise TypeError(
                f"The data function {self.function!r} returned {type(dataset).__name__} for worker "
                f"{context.input_pipeline_id}; it must return a tf.data.Dataset of batches."
            )
        device = tf.data.experimental.to_variant(dataset).device
        if tf.DeviceSpec.from_string(device).job == "worker":
            return dataset
        return DatasetSource(dataset).copy()  # the function returned a dataset of the chief


class DatasetSource(Source):
    """A tf.data.Dataset of batches, whose graph is sent to the workers.

    Every worker runs the whole pipeline and keeps its share of the batches. Random ops without a
    seed get one, the same on all workers: otherwise the shares would overlap.
    """

    def __init__(self, dataset: tf.data.Dataset) -> None:
        """Serialise `dataset`, and the lookup tables that it uses, on the chief."""
        variant = tf.data.experimental.to_variant(dataset)
        with tf.device(None):  # of the chief, whichever worker's scope is active
            graph = tf.raw_ops.DatasetToGraphV2(
                input_dataset=variant,
                external_state_policy=1,  # warn: a counter starts again on each worker
                strip_device_assignment=True,
            )
            cardinality = int(dataset.cardinality())
        _check_functions(graph.numpy())
        self._graph = with_seeds(graph.numpy())
        _check_message(self._graph, "the tf.data.Dataset")
        self._spec = dataset.element_spec
        self._num_batches = cardinality if cardinality >= 0 else None

    @override
    def on_worker(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        dataset = self.copy()
        if context.num_input_pipelines == 1:
            return dataset
        return dataset.shard(context.num_input_pipelines, context.input_pipeline_id)

    def copy(self) -> tf.data.Dataset:
        """Return the whole dataset on the device where this is called."""
        variant = tf.raw_ops.DatasetFromGraph(graph_def=self._graph)
        return tf.data.experimental.from_variant(variant, self._spec)

    @property
    @override
    def num_batches(self) -> int | None:
        return self._num_batches


class ArraySource(Source):
    """Arrays whose first axis counts the examples; each worker gets its share, once."""

    def __init__(self, arrays: Any, *, batch_size: int, shuffle: bool) -> None:
        """Keep `arrays`, any structure of arrays of one length.

        Raises:
            ValueError: if their lengths differ, or they are empty.
        """
        self._arrays = arrays
        self._batch_size = batch_size
        self._shuffle = shuffle
        lengths = {len(array) for array in tf.nest.flatten(arrays)}
        if len(lengths) != 1 or not min(lengths):
            raise ValueError(
                f"The arrays hold {sorted(lengths)} examples along their first axes; give arrays "
                "of one length, of at least one example."
            )
        self._length = lengths.pop()

    @override
    def on_worker(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        batch_of = np.arange(self._length) // self._batch_size
        mine = batch_of % context.num_input_pipelines == context.input_pipeline_id
        share = tf.nest.map_structure(lambda array: array[mine], self._arrays)
        for array in tf.nest.flatten(share):
            _check_message(array, f"worker {context.input_pipeline_id}'s share of an array")
        dataset = tf.data.Dataset.from_tensor_slices(share)
        if self._shuffle:
            dataset = dataset.shuffle(max(1, int(mine.sum())))
        return dataset.batch(self._batch_size).prefetch(tf.data.AUTOTUNE)

    @property
    @override
    def num_batches(self) -> int | None:
        return math.ceil(self._length / self._batch_size)


@dataclasses.dataclass(frozen=True)
class MappedSource(Source):
    """Another source with a function mapped over its batches, on the worker."""

    source: Source
    function: Callable[..., Any]

    @override
    def on_worker(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        dataset = self.source.on_worker(context)
        mapped = dataset.map(self.function, num_parallel_calls=tf.data.AUTOTUNE)
        return mapped.prefetch(tf.data.AUTOTUNE)

    @property
    @override
    def num_batches(self) -> int | None:
        return self.source.num_batches


@dataclasses.dataclass(frozen=True)
class FirstBatches(Source):
    """The first batches of another source, the same ones in each epoch."""

    source: Source
    batches: int

    @override
    def on_worker(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        first, workers = context.input_pipeline_id, context.num_input_pipelines
        return self.source.on_worker(context).take(len(range(first, self.batches, workers)))

    @property
    @override
    def num_batches(self) -> int | None:
        known = self.source.num_batches
        return known if known is None else min(known, self.batches)


def as_source(
    x: Any, y: Any = None, sample_weight: Any = None, *, batch_size: int | None, shuffle: bool,
    preprocess: Preprocess | None = None,
) -> Source:  # fmt: skip
    """Return the source for the data arguments of fit, evaluate or predict.

    Args:
        x: a function from tf.distribute.InputContext to a tf.data.Dataset, a tf.data.Dataset, or
            any structure of arrays.
        y: the targets, if x is arrays.
        sample_weight: the weights, if x is arrays.
        batch_size: the batch size, if x is arrays; None is 32.
        shuffle: whether each worker shuffles its share of arrays in each epoch.
        preprocess: a keras-nlp task's `preprocess_samples`, to be mapped over the batches.

    Raises:
        TypeError: if `x` is anything else, such as a generator.
        ValueError: if `y`, `sample_weight` or `batch_size` come with a function or a dataset.
    """
    if isinstance(x, tf.data.Dataset) or callable(x):
        kind = "tf.data.Dataset" if isinstance(x, tf.data.Dataset) else "function"
        given = {"y": y, "sample_weight": sample_weight, "batch_size": batch_size}
        for name, value in given.items():
            if value is not None:
                raise ValueError(
                    f"x is a {kind}, which gives whole batches of (x, y, sample_weight); leave out "
                    f"the argument {name}."
                )
        source: Source = DatasetSource(x) if kind == "tf.data.Dataset" else FunctionSource(x)
    else:
        structure = _map_tuples if preprocess else keras.tree.map_structure
        packed = keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
        # To tf.data a list is one tensor.
        arrays = keras.tree.lists_to_tuples(structure(_as_array, packed))
        source = ArraySource(arrays, batch_size=batch_size or 32, shuffle=shuffle)
    return MappedSource(source, preprocess) if preprocess else source


def _map_tuples(function: Callable[[Any], Any], values: Any) -> Any:
    """Map `function` over tuples and dictionaries only: for a keras-nlp task a list is an array."""
    if isinstance(values, tuple):
        return tuple(_map_tuples(function, value) for value in values)
    if isinstance(values, dict):
        return {key: _map_tuples(function, value) for key, value in values.items()}
    return function(values)


def _as_array(value: Any) -> np.ndarray:
    if isinstance(value, list | tuple) or hasattr(value, "__array__"):
        array = np.asarray(value)
        if array.ndim:
            return array
    raise TypeError(
        f"Data of type {type(value).__name__} cannot be read by the workers. Give a function from "
        "tf.distribute.InputContext to a tf.data.Dataset, a tf.data.Dataset, or arrays."
    )


def _check_functions(serialized: bytes) -> None:
    graph = tf.compat.v1.GraphDef.FromString(serialized)
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    if any(node.op in _PYTHON_FUNCTIONS for node in nodes):
        raise ValueError(
            "The tf.data.Dataset calls a Python function of this process (from_generator, "
            "py_function or numpy_function), which the workers do not have. Give a function from "
            "tf.distribute.InputContext to a tf.data.Dataset of TensorFlow's own ops, or arrays."
        )


def _check_message(array: Any, what: str) -> None:
    size = len(array) if isinstance(array, bytes) else array.nbytes
    if size > _MAX_MESSAGE_BYTES:
        raise ValueError(
            f"{what} takes {size / 2**30:.1f} GiB, and TensorFlow sends at most 2 GiB at once. "
            "Give a function from tf.distribute.InputContext to a tf.data.Dataset instead: each "
            "worker then reads its own data."
        )
