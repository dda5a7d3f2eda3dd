"""The data arguments of fit, evaluate and predict, in all forms that Keras takes, as a source."""

from __future__ import annotations

import dataclasses
import mmap
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfps._keras import arrays_of, data_adapter, make_class_weight_map_fn
from tfps._tensorflow import is_lost
from tfps.training.sources import (
    ChiefSource,
    FunctionSource,
    Source,
    from_serialized,
    serialized,
)

Preprocess = Callable[..., Any]

_MOST_MAPPED_BYTES = 2**26
_OTHER_FLOATS = ("bfloat16", "float8_e4m3fn", "float8_e5m2")  # which NumPy does not take for such

_UNREADABLE = (
    "Data of type {} cannot be read. Give a function from tf.distribute.InputContext to a "
    "tf.data.Dataset, a tf.data.Dataset, arrays, a generator, or a keras.utils.PyDataset."
)


@dataclasses.dataclass(frozen=True)
class Data:
    """A data function whose data is cut into more shares than there are workers.

    A worker that has read a share takes the next one that is left. So a slow worker reads fewer,
    one that joins late reads some, and a worker that is lost leaves only a small part to others.

    Attributes:
        function: a function from tf.distribute.InputContext to a tf.data.Dataset of batches, which
            ends. `input_pipeline_id` of the context is the number of a share, and
            `num_input_pipelines` is `shares`.
        shares: the number of shares.
    """

    function: Callable[[tf.distribute.InputContext], tf.data.Dataset]
    shares: int

    def __post_init__(self) -> None:
        """Check the number of shares."""
        if not isinstance(self.shares, int) or self.shares < 1:
            raise ValueError(f"shares is {self.shares!r}; it must be a whole number from 1 on.")

    def __call__(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        """Return the dataset of one share."""
        return self.function(context)


def as_source(
    x: Any, y: Any = None, sample_weight: Any = None, *, batch_size: int | None = None,
    steps: int | None = None, shuffle: bool | str = False,
    class_weight: dict[int, float] | None = None, preprocess: Preprocess | None = None,
) -> Source:  # fmt: skip
    """Return the source for the data arguments of fit, evaluate or predict.

    Args:
        x: a function from tf.distribute.InputContext to a tf.data.Dataset, `Data`, a
            tf.data.Dataset, any structure of arrays, or what else Keras reads, such as a generator
            or a PyDataset.
        y: the targets, if x is arrays.
        sample_weight: the weights, if x is arrays.
        batch_size: the batch size, if x is arrays; None is Keras's default.
        steps: the number of batches of arrays, if no batch size is given.
        shuffle: as in Keras's fit.
        class_weight: as in Keras's fit.
        preprocess: a keras-nlp task's `preprocess_samples`, to be mapped over the batches.

    Raises:
        TypeError: if `x` is anything else.
        ValueError: if Keras refuses the data, or `y` or `sample_weight` come with a function.
    """
    if callable(x) and not isinstance(x, tf.data.Dataset | keras.utils.PyDataset):
        for name, value in {"y": y, "sample_weight": sample_weight}.items():
            if value is not None:
                raise ValueError(
                    "x is a function, which gives whole batches of (x, y, sample_weight); leave "
                    f"out the argument {name}."
                )
        shares = x.shares if isinstance(x, Data) else None
        source: Source = FunctionSource(x, shares=shares)
        if preprocess is not None:
            source = source.map(preprocess)
        if class_weight is not None:
            source = source.map(make_class_weight_map_fn(class_weight))
        return source
    if preprocess is None:
        return _of_keras(x, y, sample_weight, batch_size, steps, shuffle, class_weight)
    if not isinstance(x, tf.data.Dataset):
        x, y, sample_weight = (_map_tuples(_as_array, part) for part in (x, y, sample_weight))
    source = _of_keras(x, y, sample_weight, batch_size, steps, shuffle, None).map(preprocess)
    return source if class_weight is None else source.map(make_class_weight_map_fn(class_weight))


def _of_keras(
    x: Any, y: Any, sample_weight: Any, batch_size: int | None, steps: int | None,
    shuffle: bool | str, class_weight: dict[int, float] | None,
) -> Source:  # fmt: skip
    """Return the source for what Keras's own adapters read."""
    if x is None:
        raise TypeError(_UNREADABLE.format("NoneType"))
    name = "tf.data.Dataset"
    if isinstance(x, tf.data.Dataset) and is_lost(tf.data.experimental.to_variant(x)):
        x = from_serialized(serialized(x), x.element_spec)  # its maps cannot be taken out of it
        name = f"{name} made before the strategy, with all its maps"
    try:
        adapter = data_adapter(
            x, y, sample_weight, batch_size=batch_size, steps_per_epoch=steps, shuffle=shuffle,
            class_weight=class_weight,
        )  # fmt: skip
    except ValueError as error:
        if "Unrecognized data type" not in str(error):
            raise
        raise TypeError(_UNREADABLE.format(type(x).__name__)) from error
    if (arrays := arrays_of(adapter)) is not None:
        return _of_arrays(adapter, *arrays)
    source = ChiefSource.of_dataset(_with_none(adapter.get_tf_dataset()))
    if isinstance(x, tf.data.Dataset):
        return dataclasses.replace(source, name=name)
    return dataclasses.replace(
        source,
        name=f"{type(x).__module__}.{type(x).__qualname__}".removeprefix("builtins."),
        is_python=True,
        batches=adapter.num_batches,
        on_epoch_begin=adapter.on_epoch_begin,
        on_epoch_end=adapter.on_epoch_end,
    )


def _of_arrays(adapter: Any, arrays: Any, batch_size: int, shuffle: bool | str) -> Source:
    leaves = [array for array in keras.tree.flatten(arrays) if array is not None]
    if not all(isinstance(array, np.ndarray) for array in leaves):
        whole = ChiefSource.of_whole(_with_none(adapter.get_tf_dataset()))
        return dataclasses.replace(whole, batches=adapter.num_batches, name="arrays")

    def spec(array: np.ndarray | None) -> tf.TypeSpec:
        if array is None:
            return tf.NoneTensorSpec()
        row = tf.convert_to_tensor(_cast(array[:1]))
        return tf.TensorSpec([None, *row.shape[1:]], row.dtype)

    batches = _Batches(keras.tree.lists_to_tuples(arrays), batch_size, shuffle)
    specs = keras.tree.map_structure(spec, batches.arrays)
    return ChiefSource(batches, specs, batches=adapter.num_batches, name="arrays")


@dataclasses.dataclass(frozen=True)
class _Batches:
    """The batches of NumPy arrays, which are read as they are needed: a file may be behind them."""

    arrays: Any
    batch_size: int
    shuffle: bool | str

    def __iter__(self) -> Iterator[Any]:
        return self.since(0)

    def since(self, first: int) -> Iterator[Any]:
        """Yield the batches of an epoch from this one on; those before it are not read."""
        leaves = [array for array in keras.tree.flatten(self.arrays) if array is not None]
        length = len(leaves[0])
        order = np.random.permutation(length) if self.shuffle and self.shuffle != "batch" else None
        files = _MappedFiles(leaves, are_read_in_order=order is None)
        for start in range(0, length, self.batch_size):
            rows: Any = slice(start, min(start + self.batch_size, length))
            if order is not None:
                rows = order[rows]
            elif self.shuffle:
                rows = np.random.permutation(rows.stop - start) + start
            if start < first * self.batch_size:
                continue
            yield keras.tree.map_structure(
                lambda array, rows=rows: None if array is None else _cast(array[rows]), self.arrays
            )
            files.have_read(rows)


class _MappedFiles:
    """The files of memory-mapped arrays, of which the chief keeps only little in its memory."""

    def __init__(self, arrays: list[np.ndarray], *, are_read_in_order: bool) -> None:
        files = [(_mapped_file(array), array.nbytes / max(len(array), 1)) for array in arrays]
        self._files = [file for file, _ in files if file is not None]
        self._row_bytes = sum(size for file, size in files if file is not None)
        self._read_bytes = 0.0
        if not are_read_in_order:
            for file in self._files:
                file.madvise(mmap.MADV_RANDOM)  # else the neighbours of each row are read, too

    def have_read(self, rows: Any) -> None:
        """Note that rows were read, and let go of them after many."""
        count = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
        self._read_bytes += count * self._row_bytes
        if self._read_bytes > _MOST_MAPPED_BYTES:
            self._read_bytes = 0
            for file in self._files:
                file.madvise(mmap.MADV_DONTNEED)


def _mapped_file(array: np.ndarray) -> mmap.mmap | None:
    """Return the file that an array lies in, if it is one that is mapped, and shared."""
    if not isinstance(array, np.memmap) or array.mode == "c" or not hasattr(mmap.mmap, "madvise"):
        return None
    base: Any = array
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    return base


def _cast(array: np.ndarray) -> np.ndarray:
    """Return an array as Keras gives it to a model: with its own type of floats."""
    if not (np.issubdtype(array.dtype, np.floating) or array.dtype.name in _OTHER_FLOATS):
        return array
    return array.astype(keras.config.floatx(), copy=False)


def _with_none(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Return a dataset with None where Keras has put empty optionals.

    At the end of a batch of (x, y, sample_weight) it is left out.
    """
    spec = given = dataset.element_spec
    while type(given) is tuple and isinstance(given[-1], tf.OptionalSpec):
        given = given[:-1]
    if not any(isinstance(leaf, tf.OptionalSpec) for leaf in tf.nest.flatten(spec)):
        return dataset

    def with_none(*batch: Any) -> Any:
        return tf.nest.map_structure(
            lambda of_leaf, leaf: None if isinstance(of_leaf, tf.OptionalSpec) else leaf,
            given,
            batch[: len(given)] if type(spec) is tuple else batch[0],
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
