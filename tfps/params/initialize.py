"""Initial values, computed on the ps that will hold them.

A small value is computed whole by the Keras initializer on each ps that holds a shard of it, and
sliced. A model then starts from the values of plain Keras, whatever its partitioner. A large value
whose elements are independent is computed in blocks of rows, each from its own seed. No machine
ever holds it whole, and it does not depend on the number of shards.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

Shape = tuple[int, ...]

WHOLE_BYTES = 256 << 20
"""The maximum size of a value that is computed whole and sliced, in bytes."""
BLOCK_BYTES = 64 << 20
"""The size of a block of rows of a larger value, in bytes."""

_CONSTANT = (keras.initializers.Zeros, keras.initializers.Ones)
_INDEPENDENT = (
    keras.initializers.RandomUniform,
    keras.initializers.RandomNormal,
    keras.initializers.TruncatedNormal,
)


def initial_value(
    initializer: Callable[..., Any], shape: Shape, dtype: str
) -> Callable[..., tf.Tensor]:
    """Return a callable that computes a variable's initial value on the device of the call.

    Args:
        initializer: a Keras initializer, or any callable of `(shape, dtype=)`.
        shape: the shape of the whole variable.
        dtype: the dtype of the variable.

    Returns:
        A callable with the signature that TensorFlow's strategy expects. Without arguments it
        returns the whole value; with `partition_shape` and `partition_offset`, that shard of it.
    """

    def value(
        partition_shape: Shape | None = None, partition_offset: Shape | None = None
    ) -> tf.Tensor:
        if partition_shape is None or partition_offset is None:
            return tf.convert_to_tensor(initializer(shape, dtype=dtype))
        first = int(partition_offset[0])
        return _rows(initializer, shape, dtype, first, first + int(partition_shape[0]))

    return value


def _rows(
    initializer: Callable[..., Any], shape: Shape, dtype: str, first: int, end: int
) -> tf.Tensor:
    """Return rows `first` to `end` (exclusive) of the value of `shape`."""
    if type(initializer) in _CONSTANT:
        return tf.convert_to_tensor(initializer((end - first, *shape[1:]), dtype=dtype))
    num_bytes = math.prod(shape) * tf.as_dtype(dtype).size
    if num_bytes > WHOLE_BYTES:
        if _has_independent_rows(initializer):
            return _rows_in_blocks(initializer, shape, dtype, first, end)
        warnings.warn(
            f"A variable of shape {shape} is initialised by {initializer!r}, which can only make "
            f"the whole value: each ps makes all {num_bytes >> 20} MiB to keep its shard. Use "
            "RandomUniform, RandomNormal, TruncatedNormal, Zeros or Ones instead.",
            stacklevel=2,
        )
    return tf.convert_to_tensor(initializer(shape, dtype=dtype))[first:end]


def _has_independent_rows(initializer: Any) -> bool:
    """Whether the elements are drawn independently of each other, from an integer seed."""
    return type(initializer) in _INDEPENDENT and isinstance(initializer.seed, int)


def _rows_in_blocks(initializer: Any, shape: Shape, dtype: str, first: int, end: int) -> tf.Tensor:
    row_bytes = math.prod(shape[1:]) * tf.as_dtype(dtype).size
    block_rows = max(1, BLOCK_BYTES // row_bytes)
    blocks = []
    for block in range(first // block_rows, math.ceil(end / block_rows)):
        block_first = block * block_rows
        rows = min(block_rows, shape[0] - block_first)
        value = _with_seed(initializer, block)((rows, *shape[1:]), dtype=dtype)
        blocks.append(value[max(first - block_first, 0) : end - block_first])
    return tf.concat(blocks, axis=0)


def _with_seed(initializer: Any, block: int) -> Any:
    """Return the initializer with a seed for one block."""
    seed = (initializer.seed * 1_000_003 + block + 1) % (2**31 - 1)
    return type(initializer).from_config({**initializer.get_config(), "seed": seed})
