"""The data of a run, and who reads it: the chief, or each worker its own."""

from __future__ import annotations

import abc
import dataclasses
import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from typing_extensions import override

from tfps._tensorflow.datasets import calls_python, copied, shuffles_without_seed
from tfps.training.history import Reading
from tfps.training.reader import Reader, leaves, packed, unpacked
from tfps.training.split import Function, of_element, split, unconverted

_MAX_MESSAGE_BYTES = 2**31 - 1  # a protobuf message, which carries a tensor to a worker


class Source(abc.ABC):
    """Batches of data, in one of two forms."""

    @abc.abstractmethod
    def map(self, function: Callable[..., Any]) -> Source:
        """Return a source with `function` mapped over the batches, on the workers."""

    @abc.abstractmethod
    def first(self, batches: int) -> Source:
        """Return a source of the first batches, the same ones in each epoch."""

    @abc.abstractmethod
    def numbered(self) -> Source:
        """Return a source of pairs: the number of a batch, and the batch."""


@dataclasses.dataclass(frozen=True)
class FunctionSource(Source):
    """A function from the input context to a dataset of batches: each worker builds its own.

    Attributes:
        function: the function.
        maps: what is mapped over the batches.
        shares: how many parts the data has; None is one for each worker.
        batches: how many batches there are at most; None is any number.
    """

    function: Callable[[tf.distribute.InputContext], tf.data.Dataset]
    maps: tuple[Callable[..., Any], ...] = ()
    shares: int | None = None
    batches: int | None = None

    @override
    def map(self, function: Callable[..., Any]) -> FunctionSource:
        return dataclasses.replace(self, maps=(*self.maps, function))

    @override
    def first(self, batches: int) -> FunctionSource:
        return dataclasses.replace(self, batches=batches)

    @override
    def numbered(self) -> FunctionSource:
        def function(context: tf.distribute.InputContext) -> tf.data.Dataset:
            share, shares = context.input_pipeline_id, context.num_input_pipelines
            return self.on_worker(context).enumerate().map(lambda n, b: (n * shares + share, b))

        return dataclasses.replace(self, function=function, maps=())

    def on_worker(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        """Build the batched dataset of one share.

        To be called eagerly under the device of its worker, where everything that it creates then
        lies, lookup tables included.

        Args:
            context: says which share it is, and how many there are.
        """
        dataset = self._built(context)
        for function in self.maps:
            dataset = dataset.map(function, num_parallel_calls=tf.data.AUTOTUNE)
        return dataset.prefetch(tf.data.AUTOTUNE) if self.maps else dataset

    def _built(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        with copied(self._sent):
            dataset = self.function(context)
            if not isinstance(dataset, tf.data.Dataset):
                raise TypeError(
                    f"The data function {self.function!r} returned {type(dataset).__name__} for "
                    f"share {context.input_pipeline_id} of {context.num_input_pipelines}; it must "
                    "return a tf.data.Dataset of batches."
                )
            variant = tf.data.experimental.to_variant(dataset)
        return tf.data.experimental.from_variant(variant, dataset.element_spec)

    def _sent(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Return a copy of a dataset of the chief that the function uses, on the worker."""
        graph = serialized(dataset)
        if calls_python(graph):
            raise ValueError(
                f"The data function {self.function!r} uses a tf.data.Dataset of the chief that "
                "calls a Python function (from_generator, py_function or numpy_function), which "
                "the workers do not have. Give the dataset itself, which the chief then reads, or "
                "let the function make a tf.data.Dataset of TensorFlow's own ops."
            )
        if shuffles_without_seed(graph):
            warnings.warn(
                f"The data function {self.function!r} uses a tf.data.Dataset of the chief that is "
                "shuffled without a seed: each worker shuffles it in another order, so parts of it "
                "may be read twice or not at all. Give shuffle a seed, or give the dataset itself.",
                stacklevel=2,
            )
        return from_serialized(graph, dataset.element_spec)


@dataclasses.dataclass(frozen=True)
class ChiefSource(Source):
    """Data that the chief reads, once, and deals out; the workers make batches of it.

    Attributes:
        groups: what the chief reads, afresh in each epoch: what each batch is made of, structures
            of tensors.
        spec: the type of a group.
        make_batch: makes a batch of a group, on a worker; None if a group is a batch.
        maps: what is mapped over the batches, on the workers.
        batches: how many there are; None if that is not known.
        is_endless: whether there is no end.
        held_back: the transformation that keeps maps before it on the chief; None if there is none.
        name: what the data is, in words.
        is_python: whether Python code yields it.
        on_epoch_begin: is called when an epoch begins.
        on_epoch_end: is called when an epoch ends.
    """

    groups: Iterable[Any]
    spec: Any
    make_batch: Function | None = None
    maps: tuple[Callable[..., Any], ...] = ()
    batches: int | None = None
    is_endless: bool = False
    held_back: str | None = None
    name: str = "tf.data.Dataset"
    is_python: bool = False
    on_epoch_begin: Callable[[], None] = lambda: None
    on_epoch_end: Callable[[], None] = lambda: None

    @classmethod
    def of_dataset(cls, dataset: tf.data.Dataset) -> ChiefSource:
        """Return a source of the batches of a dataset, whose maps run on the workers."""
        parts = split(dataset)
        return dataclasses.replace(
            cls.of_whole(parts.groups), make_batch=parts.make_batch, held_back=parts.held_back
        )

    @classmethod
    def of_whole(cls, dataset: tf.data.Dataset) -> ChiefSource:
        """Return a source of the batches of a dataset, all of which runs on the chief."""
        size = int(dataset.cardinality())
        return cls(
            dataset,
            dataset.element_spec,
            batches=size if size >= 0 else None,
            is_endless=size == tf.data.INFINITE_CARDINALITY,
        )

    def line(self, reading: Reading) -> str:
        """Return a line about who reads the data, and how fast."""
        held_back = ""
        if self.held_back is not None:
            held_back = f", and runs the maps before its `{self.held_back}`"
        rate = f": it can feed {reading.batches_per_s:,.1f} batches/s" if reading.batches else ""
        return f"The chief reads the data ({self.name}){held_back}{rate}."

    @override
    def map(self, function: Callable[..., Any]) -> ChiefSource:
        return dataclasses.replace(self, maps=(*self.maps, function))

    @override
    def first(self, batches: int) -> ChiefSource:
        known = batches if self.batches is None else min(batches, self.batches)
        is_finite = self.is_endless or self.batches is not None
        return dataclasses.replace(
            self,
            groups=self._derived(
                lambda dataset: dataset.take(batches),
                lambda groups: itertools.islice(groups, batches),
            ),
            batches=known if is_finite else None,
            is_endless=False,
        )

    @override
    def numbered(self) -> ChiefSource:
        def pair(numbered: tuple[tf.Tensor, Any]) -> tuple[tf.Tensor, Any]:
            number, group = numbered
            batch = self._batch(group)
            for function in self.maps:
                batch = function(*batch) if type(batch) is tuple else function(batch)
            return number, batch

        return dataclasses.replace(
            self,
            groups=self._derived(
                lambda dataset: dataset.enumerate(),
                lambda groups: zip(map(np.int64, itertools.count()), groups, strict=False),
            ),
            spec=(tf.TensorSpec([], tf.int64), self.spec),
            make_batch=pair,
            maps=(),
        )

    def _derived(
        self,
        of_dataset: Callable[[tf.data.Dataset], tf.data.Dataset],
        of_python: Callable[[Iterable[Any]], Iterator[Any]],
    ) -> Iterable[Any]:
        derived: Iterable[Any] = _Derived(self.groups, of_python)
        return of_dataset(self.groups) if isinstance(self.groups, tf.data.Dataset) else derived

    def reader(self, start: int = 0) -> Reader:
        """Return what reads the groups of an epoch, from one of them on."""
        if isinstance(self.groups, tf.data.Dataset):
            strings = self.groups.map(of_element(packed, self.spec), tf.data.AUTOTUNE, True)
            options = no_tuning()
            ignore = tf.data.experimental.ExternalStatePolicy.IGNORE
            options.experimental_external_state_policy = ignore  # as of random numbers
            iterator = iter(strings.prefetch(tf.data.AUTOTUNE).with_options(options))
            return Reader((each.numpy().tolist() for each in iterator), start, iterator)
        since = getattr(self.groups, "since", None)
        groups, start = (since(start), 0) if since else (self.groups, start)
        rows = ([tf.make_tensor_proto(t).SerializeToString() for t in leaves(g)] for g in groups)
        return Reader(rows, start)

    def dataset(self, groups: tf.data.Dataset) -> tf.data.Dataset:
        """Return the dataset of batches that a worker makes of a dataset of packed groups."""
        batches = groups.map(
            unconverted(lambda strings: self._batch(unpacked(strings, self.spec))),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        for function in self.maps:
            batches = batches.map(function, num_parallel_calls=tf.data.AUTOTUNE)
        return batches.prefetch(tf.data.AUTOTUNE)

    def _batch(self, group: Any) -> Any:
        return group if self.make_batch is None else self.make_batch(group)


@dataclasses.dataclass(frozen=True)
class _Derived:
    """What a function makes of groups, each time that they are read."""

    groups: Iterable[Any]
    function: Callable[[Iterable[Any]], Iterator[Any]]

    def __iter__(self) -> Iterator[Any]:
        return self.function(self.groups)


def no_tuning() -> tf.data.Options:
    """Return options that turn tf.data's tuning thread off; AUTOTUNE is then a fixed parallelism.

    That thread sometimes misses the end of its iterator, and sleeps on for up to a minute.
    Meanwhile the worker's TensorFlow server waits for it, and holds a lock that every call needs.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    # It fails on a batch within the function of a map.
    options.experimental_optimization.map_and_batch_fusion = False
    return options


def serialized(dataset: tf.data.Dataset) -> bytes:
    """Return the graph of a dataset of the chief, with the lookup tables that it uses.

    Raises:
        ValueError: if it is too large to send.
    """
    variant = tf.data.experimental.to_variant(dataset)
    with tf.device(None):  # of the chief, whichever worker's scope is active
        graph = tf.raw_ops.DatasetToGraphV2(
            input_dataset=variant,
            external_state_policy=1,  # warn: a counter starts again on each worker
            strip_device_assignment=True,
        )
        content = bytes(graph.numpy())
    if len(content) > _MAX_MESSAGE_BYTES:
        raise ValueError(
            f"The tf.data.Dataset takes {len(content) / 2**30:.1f} GiB, and TensorFlow sends at "
            "most 2 GiB at once. Have the data function read its data on the worker."
        )
    return content


def from_serialized(graph: bytes, spec: Any) -> tf.data.Dataset:
    """Return a dataset of this graph, on the device where this is called."""
    variant = tf.raw_ops.DatasetFromGraph(graph_def=graph)
    return tf.data.experimental.from_variant(variant, spec)
