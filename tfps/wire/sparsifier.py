"""Sparsifiers: codecs that send some numbers and leave the others out."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence

import tensorflow as tf
from typing_extensions import override

from tfps.wire.codec import VectorCodec


class Sparsifier(VectorCodec):
    """A codec of two parts, the second of which are the float32 numbers that it sends.

    What it leaves out decodes to zero.
    """

    @abc.abstractmethod
    def positions(self, parts: Sequence[tf.Tensor], size: int | tf.Tensor) -> tf.Tensor:
        """Return where in the vector of `size` elements the numbers belong: int32 or int64."""

    @override
    def decode_vector(
        self, parts: Sequence[tf.Tensor], size: int | tf.Tensor, dtype: tf.DType
    ) -> tf.Tensor:
        positions = self.positions(parts, size)
        # Four times as fast as tf.scatter_nd, which adds up what falls on one position.
        return tf.raw_ops.SparseToDense(
            sparse_indices=positions,
            output_shape=tf.cast(tf.reshape(size, [1]), positions.dtype),
            sparse_values=tf.cast(parts[1], dtype),
            default_value=tf.zeros([], dtype),
            validate_indices=False,
        )


def check_fraction(codec: str, fraction: float) -> None:
    """Refuse fractions that cannot be."""
    if not 0 < fraction <= 1:
        raise ValueError(
            f"{codec}: fraction is {fraction!r}; it is the share of the numbers that is sent, "
            "above 0 and at most 1."
        )


def share(size: int | tf.Tensor, fraction: float) -> int | tf.Tensor:
    """Return `ceil(fraction * size)`: int, or a scalar int32 tensor."""
    # 0.07 * 100 is above 7 in floating point.
    slightly_less = fraction * (1 - 1e-12)
    if isinstance(size, int):
        return math.ceil(size * slightly_less)
    return tf.cast(tf.math.ceil(tf.cast(size, tf.float64) * slightly_less), tf.int32)


def draw_positions(
    size: int | tf.Tensor, count: int | tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draw one position from each of `count` stretches, as equal as can be, of a vector.

    Within its stretch each position is as likely as the others, to 2^-32, and independent of those
    drawn from the rest. CPUs and GPUs draw the same from a seed.

    Args:
        size: how many elements the vector has.
        count: how many to draw, at most `size`.
        seed: int32, of shape `(2,)`.

    Returns:
        The positions, rising, and the lengths of the stretches: int64, of shape `(count,)`.
    """
    bounds = tf.range(tf.cast(count, tf.int64) + 1) * tf.cast(size, tf.int64)
    bounds = bounds // tf.cast(tf.maximum(count, 1), tf.int64)
    lengths = bounds[1:] - bounds[:-1]
    bits = tf.random.stateless_uniform(
        tf.reshape(count, [1]), seed, None, None, tf.uint32, alg="philox"
    )
    offsets = tf.bitwise.right_shift(tf.cast(bits, tf.int64) * lengths, tf.constant(32, tf.int64))
    return bounds[:-1] + offsets, lengths
