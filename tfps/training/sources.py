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

import numpy as np
import tensorflow as tf
from typing_extensions import override

from tfps.training.seeds import with_seeds

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

    @property
    def on_chief(self) -> ChiefSource | None:
        """The same data if only the chief can read it; None if each worker reads its share."""
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
        source = DatasetSource(dataset)  # the function returned a dataset of the chief
        if source.calls_python:
            raise ValueError(
                f"The tf.data.Dataset that the data function {self.function!r} returned calls a "
                "Python function (from_generator, py_function or numpy_function), which the "
                "workers do not have. Give the dataset itself, which the chief then reads, or let "
                "the function make a tf.data.Dataset of TensorFlow's own ops."
            )
        return source.copy()


class DatasetSource(Source):
    """A tf.data.Dataset of batches, whose graph is sent to the workers.

    Every worker runs the whole pipeline and keeps its share of the batches. Random ops without a
    seed get one, the same on all workers: otherwise the shares would overlap.

    Attributes:
        calls_python: whether it calls functions of this process, which the workers do not have.
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
        self.calls_python = _calls_python(graph.numpy())
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


@dataclasses.dataclass(frozen=True)
class ChiefSource(Source):
    """A tf.data.Dataset of batches that calls Python functions of the chief's process.

    Attributes:
        dataset: the dataset.
        batches: how many it has; None if that is not known.
        on_epoch_begin: is called when an epoch begins.
        on_epoch_end: is called when an epoch ends.
    """

    dataset: tf.data.Dataset
    batches: int | None
    on_epoch_begin: Callable[[], None] = lambda: None
    on_epoch_end: Callable[[], None] = lambda: None

    @override
    def on_worker(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        raise NotImplementedError("The chief reads this data.")

    @property
    @override
    def num_batches(self) -> int | None:
        return self.batches

    @property
    @override
    def on_chief(self) -> ChiefSource | None:
        return self


class ArraySource(Source):
    """Arrays whose first axis counts the examples; each worker gets its share, once."""

    def __init__(self, arrays: Any, *, batch_size: int, shuffle: bool) -> None:
        """Keep `arrays`, any structure of arrays of one length, and of None.

        Raises:
            ValueError: if their lengths differ, or they are empty.
        """
        self._structure = arrays
        self._arrays = [array for array in tf.nest.flatten(arrays) if array is not None]
        self._batch_size = batch_size
        self._shuffle = shuffle
        lengths = {len(array) for array in self._arrays}
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
        share = tuple(array[mine] for array in self._arrays)
        for array in share:
            _check_message(array, f"worker {context.input_pipeline_id}'s share of an array")
        dataset = tf.data.Dataset.from_tensor_slices(share)
        if self._shuffle:
            dataset = dataset.shuffle(max(1, int(mine.sum())))
        batches = dataset.batch(self._batch_size).map(self._in_structure)
        return batches.prefetch(tf.data.AUTOTUNE)

    def _in_structure(self, *tensors: tf.Tensor) -> Any:
        given = iter(tensors)
        return tf.nest.map_structure(
            lambda array: None if array is None else next(given), self._structure
        )

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
        return self._mapped(dataset)

    @property
    @override
    def num_batches(self) -> int | None:
        return self.source.num_batches

    @property
    @override
    def on_chief(self) -> ChiefSource | None:
        source = self.source.on_chief
        return source and dataclasses.replace(source, dataset=self._mapped(source.dataset))

    def _mapped(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        mapped = dataset.map(self.function, num_parallel_calls=tf.data.AUTOTUNE)
        return mapped.prefetch(tf.data.AUTOTUNE)


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

    @property
    @override
    def on_chief(self) -> ChiefSource | None:
        source = self.source.on_chief
        return source and dataclasses.replace(
            source, dataset=source.dataset.take(self.batches), batches=self.num_batches
        )


def _calls_python(serialized: bytes) -> bool:
    graph = tf.compat.v1.GraphDef.FromString(serialized)
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    return any(node.op in _PYTHON_FUNCTIONS for node in nodes)


def _check_message(array: Any, what: str) -> None:
    size = len(array) if isinstance(array, bytes) else array.nbytes
    if size > _MAX_MESSAGE_BYTES:
        raise ValueError(
            f"{what} takes {size / 2**30:.1f} GiB, and TensorFlow sends at most 2 GiB at once. "
            "Give a function from tf.distribute.InputContext to a tf.data.Dataset instead: each "
            "worker then reads its own data."
        )
