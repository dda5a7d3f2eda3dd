"""What of a tf.data pipeline the chief runs, and what the workers run.

The chief runs what decides which examples there are, and in which order: sources, shuffles, takes,
repeats, filters, caches. So each example is there once, as in one process. The workers run what
only computes on an example or on a batch: the maps. Where a shuffle, for example, follows a map,
the chief shuffles what the map is given: the order is the same.

What the chief reads for one batch is a group: the elements that the worker's maps make it of.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfps._tensorflow import datasets
from tfps.training.reader import parsed

Function = Callable[[Any], Any]


@dataclasses.dataclass(frozen=True)
class Split:
    """A dataset of batches in two parts.

    Attributes:
        groups: what the chief reads.
        make_batch: makes a batch of a group, in a map on a worker; None if a group is a batch.
        held_back: the transformation that keeps maps before it on the chief; None if there is none.
    """

    groups: tf.data.Dataset
    make_batch: Function | None = None
    held_back: str | None = None


@dataclasses.dataclass(frozen=True)
class _Parts:
    """A dataset as what is read, and what is mapped over it.

    Attributes:
        read: the elements or, once they are batched, the groups.
        maps: what is mapped over an element.
        batch: batches a dataset of elements; None if they are not batched.
        batch_maps: what is mapped over a batch.
        held_back: as in `Split`.
    """

    read: tf.data.Dataset
    maps: tuple[Function, ...] = ()
    batch: Callable[[tf.data.Dataset], tf.data.Dataset] | None = None
    batch_maps: tuple[Function, ...] = ()
    held_back: str | None = None


def split(dataset: tf.data.Dataset) -> Split:
    """Return the parts of a dataset of batches."""
    parts = _parts(dataset)
    if not parts.maps and not parts.batch_maps:
        return Split(dataset, held_back=parts.held_back)
    return Split(parts.read, _batch_function(parts), parts.held_back)


def _parts(dataset: tf.data.Dataset) -> _Parts:
    last = datasets.transformation(dataset)
    if isinstance(last, datasets.Neutral):
        return _parts(*last.inputs)
    if isinstance(last, datasets.Mapping) and last.can_move:
        parts = _parts(*last.inputs)
        if parts.batch is None:
            return dataclasses.replace(parts, maps=(*parts.maps, last.function))
        return dataclasses.replace(parts, batch_maps=(*parts.batch_maps, last.function))
    if isinstance(last, datasets.Reordering):
        parts = _parts(*last.inputs)
        return dataclasses.replace(parts, read=last.of(parts.read))
    if isinstance(last, datasets.Batching):
        parts = _parts(*last.inputs)
        if parts.maps and parts.batch is None and _has_tensors_only(parts.read):
            return _batched(parts, last)
    if isinstance(last, datasets.Zipping):
        several = [_parts(each) for each in last.inputs]
        if any(each.maps for each in several) and all(each.batch is None for each in several):
            return _zipped(several, last)
    return _Parts(dataset, held_back=_held_back(last))


def _batched(parts: _Parts, batching: datasets.Batching) -> _Parts:
    """Return the parts of a batched dataset, of which nothing is batched yet."""
    spec = parts.read.element_spec
    read, maps = parts.read, parts.maps
    if any(_varies(leaf) for leaf in tf.nest.flatten(spec)):
        # Tensors of different shapes can be batched as strings.
        read = read.map(of_element(lambda element: _packed(spec, element), spec))
        maps = (lambda packed: _unpacked(spec, packed), *maps)
    groups = read.batch(batching.size, drop_remainder=batching.drop_remainder)
    return dataclasses.replace(parts, read=groups, maps=maps, batch=batching.of)


def _zipped(several: list[_Parts], zipping: datasets.Zipping) -> _Parts:
    """Return the parts of a dataset of pairs, whose datasets have no batches."""
    read = tf.data.Dataset.zip(tuple(each.read for each in several))

    def pair(elements: tuple[Any, ...]) -> Any:
        made = [
            _in_turn(each.maps, element) for each, element in zip(several, elements, strict=True)
        ]
        return tf.nest.map_structure(lambda i: made[i], zipping.structure)

    held_back = next((each.held_back for each in several if each.held_back is not None), None)
    return _Parts(read, maps=(pair,), held_back=held_back)


def _batch_function(parts: _Parts) -> Function:
    def make_batch(group: Any) -> Any:
        if parts.batch is None:
            return _in_turn(parts.maps, group)
        elements = tf.data.Dataset.from_tensor_slices(group)
        example = of_element(lambda element: _in_turn(parts.maps, element), elements.element_spec)
        mapped = elements.map(example, num_parallel_calls=tf.data.AUTOTUNE)
        batch = parts.batch(mapped).get_single_element()
        return _in_turn(parts.batch_maps, batch)

    return make_batch


def _in_turn(functions: tuple[Function, ...], value: Any) -> Any:
    for function in functions:
        value = function(value)
    return value


def of_element(function: Function, spec: Any) -> Callable[..., Any]:
    """Return a function to be mapped over a dataset, which gives a tuple as several arguments."""
    return unconverted((lambda *element: function(element)) if type(spec) is tuple else function)


def unconverted(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that AutoGraph leaves as it is."""
    left: Callable[..., Any] = tf.autograph.experimental.do_not_convert(function)
    return left


def _held_back(last: datasets.Transformation) -> str | None:
    """Return the name of the first transformation that the chief runs after maps."""

    def look(at: datasets.Transformation) -> tuple[bool, str | None]:
        """Return whether there is a map, this one or before, and the name."""
        before = [look(datasets.transformation(each)) for each in at.inputs]
        has_map = any(has for has, _ in before)
        name = next((name for _, name in before if name is not None), None)
        if isinstance(at, datasets.Mapping):
            stays = at is last or not at.can_move
        else:
            stays = at is last or isinstance(at, datasets.Other)
        if name is None and has_map and stays:
            name = getattr(at, "name", None) or _NAMES.get(type(at))
        return has_map or isinstance(at, datasets.Mapping), name

    return look(last)[1]


_NAMES = {
    datasets.Mapping: "map that uses variables, seeds or Python",
    datasets.Batching: "batch",
    datasets.Zipping: "zip",
}


def _has_tensors_only(dataset: tf.data.Dataset) -> bool:
    kinds = tf.TensorSpec | tf.SparseTensorSpec | tf.RaggedTensorSpec
    return all(isinstance(leaf, kinds) for leaf in tf.nest.flatten(dataset.element_spec))


def _varies(spec: Any) -> bool:
    return isinstance(spec, tf.TensorSpec) and not spec.shape.is_fully_defined()


def _packed(spec: Any, element: Any) -> Any:
    return tf.nest.map_structure(
        lambda leaf, value: tf.io.serialize_tensor(value) if _varies(leaf) else value, spec, element
    )


def _unpacked(spec: Any, element: Any) -> Any:
    return tf.nest.map_structure(
        lambda leaf, value: parsed(value, leaf) if _varies(leaf) else value, spec, element
    )
