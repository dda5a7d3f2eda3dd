"""Sparsifiers: codecs that send some of the numbers."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence

import tensorflow as tf
from typing_extensions import override

from tfps.wire.codec import VectorCodec


class Sparsifier(VectorCodec):
    """Base class of codecs that send some of the numbers; the others decode to zero.

    The second of the two encoded parts holds the numbers that are sent, as float32.
    """

    @abc.abstractmethod
    def positions(self, parts: Sequence[tf.Tensor], size: int | tf.Tensor) -> tf.Tensor:
        """Return the positions of the sent numbers in the vector, int32 or int64."""

    @override
    def decode_vector(
        self, parts: Sequence[tf.Tensor], size: int | tf.Tensor, dtype: tf.DType
    ) -> tf.Tensor:
        positions = self.positions(parts, size)
        # Four times as fast as tf.scatter_nd, which adds up values of the same position.
        return tf.raw_ops.SparseToDense(
            sparse_indices=positions,
            output_shape=tf.cast(tf.reshape(size, [1]), positions.dtype),
            sparse_values=tf.cast(parts[1], dtype),
            default_value=tf.zeros([], dtype),
            validate_indices=False,
        )


def check_fraction(codec: str, fraction: float) -> None:
    """Raise ValueError if `fraction` is not above 0 and at most 1."""
    if not 0 < fraction <= 1:
        raise ValueError(
            f"{codec}: fraction is {fraction!r}; it is the share of the numbers that is sent, "
            "above 0 and at most 1."
        )


def share(size: int | tf.Tensor, fraction: float) -> int | tf.Tensor:
    """Return `ceil(fraction * size)`: int, or a scalar int32 tensor."""
    # In floating point 0.07 * 100 is above 7.
    slightly_less = fraction * (1 - 1e-12)
    if isinstance(size, int):
        return math.ceil(size * slightly_less)
    return tf.cast(tf.math.ceil(tf.cast(size, tf.float64) * slightly_less), tf.int32)


def draw_positions(
    size: int | tf.Tensor, count: int | tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draw one position from each of `count` sections of a vector, of nearly equal length.

    Each position of a section is equally likely, to 2^-32, and the sections are independent. CPUs
    and GPUs draw the same positions from a seed.

    Args:
        size: the number of elements of the vector.
        count: the number of positions to draw, at most `size`.
        seed: int32, of shape `(2,)`.

    Returns:
        The positions, in rising order, and the lengths of the sections: int64, `(count,)`.
    """
    bounds = tf.range(tf.cast(count, tf.int64) + 1) * tf.cast(size, tf.int64)
    bounds = bounds // tf.cast(tf.maximum(count, 1), tf.int64)
    lengths = bounds[1:] - bounds[:-1]
    bits = tf.random.stateless_uniform(
        tf.reshape(count, [1]), seed, None, None, tf.uint32, alg="philox"
    )
    offsets = tf.bitwise.right_shift(tf.cast(bits, tf.int64) * lengths, tf.constant(32, tf.int64))
    return bounds[:-1] + offsets, lengths
