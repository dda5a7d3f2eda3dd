"""The data arguments of fit, evaluate and predict, in all forms that Keras takes, as a source."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfps._keras import data_adapter
from tfps._tensorflow import is_composite
from tfps.training.sources import (
    ArraySource,
    ChiefSource,
    DatasetSource,
    FunctionSource,
    MappedSource,
    Source,
)

Preprocess = Callable[..., Any]

_UNREADABLE = (
    "Data of type {} cannot be read. Give a function from tf.distribute.InputContext to a "
    "tf.data.Dataset, a tf.data.Dataset, arrays, a generator, or a keras.utils.PyDataset."
)


def as_source(
    x: Any, y: Any = None, sample_weight: Any = None, *, batch_size: int | None, shuffle: bool,
    preprocess: Preprocess | None = None,
) -> Source:  # fmt: skip
    """Return the source for the data arguments of fit, evaluate or predict.

    Args:
        x: a function from tf.distribute.InputContext to a tf.data.Dataset, a tf.data.Dataset, any
            structure of arrays, or what else Keras reads, such as a generator or a PyDataset. What
            calls Python functions is read by the chief, which sends the batches to the workers.
        y: the targets, if x is arrays.
        sample_weight: the weights, if x is arrays.
        batch_size: the batch size, if x is arrays; None is 32.
        shuffle: whether each worker shuffles its share of arrays in each epoch.
        preprocess: a keras-nlp task's `preprocess_samples`, to be mapped over the batches.

    Raises:
        TypeError: if `x` is anything else.
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
        source: Source = _of_dataset(x) if kind == "tf.data.Dataset" else FunctionSource(x)
    elif _is_for_keras((x, y, sample_weight)):
        source = _of_keras(x, y, sample_weight, batch_size, shuffle)
    else:
        structure = _map_tuples if preprocess else keras.tree.map_structure
        packed = keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
        # To tf.data a list is one tensor.
        arrays = keras.tree.lists_to_tuples(structure(_as_array, packed))
        if all(array is None for array in keras.tree.flatten(arrays)):
            raise TypeError(_UNREADABLE.format(type(x).__name__))
        source = ArraySource(arrays, batch_size=batch_size or 32, shuffle=shuffle)
    return MappedSource(source, preprocess) if preprocess else source


def _of_dataset(dataset: tf.data.Dataset) -> Source:
    source = DatasetSource(dataset)
    if not source.calls_python:
        return source
    return ChiefSource(dataset, source.num_batches)


def _is_for_keras(data: Any) -> bool:
    """Whether data is neither dense arrays nor lists of numbers."""
    leaves = [leaf for leaf in keras.tree.flatten(data) if leaf is not None]
    numbers = int | float | complex | str | bytes | bool
    return any(
        is_composite(leaf) or not (isinstance(leaf, numbers) or hasattr(leaf, "__array__"))
        for leaf in leaves
    )


def _of_keras(x: Any, y: Any, sample_weight: Any, batch_size: int | None, shuffle: bool) -> Source:
    """Return the source for what Keras's own adapters read."""
    try:
        adapter = data_adapter(x, y, sample_weight, batch_size=batch_size, shuffle=shuffle)
    except ValueError as error:
        if "Unrecognized data type" not in str(error):
            raise
        raise TypeError(_UNREADABLE.format(type(x).__name__)) from error
    source = _of_dataset(_with_none(adapter.get_tf_dataset()))
    if not isinstance(source, ChiefSource):
        return source
    return dataclasses.replace(
        source,
        batches=adapter.num_batches,
        on_epoch_begin=adapter.on_epoch_begin,
        on_epoch_end=adapter.on_epoch_end,
    )


def _with_none(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Return a dataset with None where Keras has put empty optionals.

    At the end of a batch of (x, y, sample_weight) it is left out.
    """
    spec = given = dataset.element_spec
    while isinstance(given, tuple) and isinstance(given[-1], tf.OptionalSpec):
        given = given[:-1]
    if not any(isinstance(leaf, tf.OptionalSpec) for leaf in tf.nest.flatten(spec)):
        return dataset

    def with_none(*batch: Any) -> Any:
        return tf.nest.map_structure(
            lambda of_leaf, leaf: None if isinstance(of_leaf, tf.OptionalSpec) else leaf,
            given,
            batch[: len(given)] if isinstance(spec, tuple) else batch[0],
        )

    return dataset.map(with_none)


def _map_tuples(function: Callable[[Any], Any], values: Any) -> Any:
    """Map `function` over tuples and dictionaries only: for a keras-nlp task a list is an array."""
    if isinstance(values, tuple):
        return tuple(_map_tuples(function, value) for value in values)
    if isinstance(values, dict):
        return {key: _map_tuples(function, value) for key, value in values.items()}
    return function(values)


def _as_array(value: Any) -> np.ndarray | None:
    if value is None:  # an input that may be left out
        return None
    if isinstance(value, list | tuple) or hasattr(value, "__array__"):
        array = np.asarray(value)
        if array.ndim:
            return array
    raise TypeError(_UNREADABLE.format(type(value).__name__))
