"""OneBit: each number travels in one bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf
from typing_extensions import override

from tfps.wire.codec import VectorCodec, pack
from tfps.wire.vectors import by_block, check_block, in_blocks

# Multiplying a word of 8 bytes by _GATHER collects the lowest bit of each in the highest byte.
# Multiplying a byte by _SPREAD copies it into all 8 bytes of a word; `& _EACH` then leaves another
# bit in each.
_GATHER = 0x0102040810204080
_SPREAD = 0x0101010101010101
_EACH = 0x8040201008040201


@dataclasses.dataclass(frozen=True)
class OneBit(VectorCodec):
    """Sends for each number whether it is above 0, and two means for each block of numbers.

    A number decodes to the mean of the numbers above 0 in its block, or to the mean of the others.
    Let `|x|_1` be the sum of the absolute values of the n numbers of a block: the squared error of
    the block is at most `|x|^2 - |x|_1^2 / n`, and its mean is exact, both up to rounding in
    float32. A block of zeros decodes to zeros. A block that holds a NaN or an infinity, or whose
    sums exceed the range of float32, decodes to NaN.

    The error of a single step is large: use it inside `ErrorFeedback`.

    Seide et al., 1-Bit Stochastic Gradient Descent and its Application to Data-Parallel Distributed
    Training of Speech DNNs, 2014 (Interspeech, no arXiv number); the bound follows Karimireddy et
    al., Error Feedback Fixes SignSGD, 2019 (arXiv:1901.09847).

    Attributes:
        block: the number of numbers that share the two means; a multiple of 8.
    """

    block: int = 1024

    def __post_init__(self) -> None:
        check_block("OneBit", self.block, multiple_of=8)

    @override
    def encode_vector(self, vector: tf.Tensor, seed: tf.Tensor) -> list[tf.Tensor]:
        del seed
        blocks = in_blocks(tf.cast(vector, tf.float32), self.block)
        bits, means = zip(*(_coded(matrix) for matrix in blocks), strict=True)
        return [pack(bits), tf.concat(means, 0)]

    @override
    def decode_vector(
        self, parts: Sequence[tf.Tensor], size: int | tf.Tensor, dtype: tf.DType
    ) -> tf.Tensor:
        bits, means = parts
        above = unpack_bits(by_block(bits, self.block // 8))
        of_above, of_rest = tf.split(tf.cast(means, dtype), 2, axis=1)
        return tf.reshape(tf.where(above, of_above, of_rest), [-1])[:size]


def pack_bits(flags: tf.Tensor) -> tf.Tensor:
    """Pack booleans of shape `(rows, columns)` into uint8 of shape `(rows, ceil(columns / 8))`."""
    columns = flags.shape[1] if flags.shape[1] is not None else tf.shape(flags)[1]
    missing = -columns % 8
    if not isinstance(missing, int) or missing:
        flags = tf.pad(flags, [[0, 0], [0, missing]])
    octets = tf.reshape(tf.cast(flags, tf.uint8), [tf.shape(flags)[0], (columns + missing) // 8, 8])
    words = tf.bitcast(octets, tf.uint64) * tf.constant(_GATHER, tf.uint64)
    return tf.cast(tf.bitwise.right_shift(words, tf.constant(56, tf.uint64)), tf.uint8)


def unpack_bits(packed: tf.Tensor) -> tf.Tensor:
    """Return the booleans that `pack_bits` packed, of shape `(rows, 8 * columns)`."""
    rows, columns = tf.shape(packed)[0], packed.shape[1]
    words = tf.cast(packed, tf.uint64) * tf.constant(_SPREAD, tf.uint64)
    octets = tf.bitcast(tf.bitwise.bitwise_and(words, tf.constant(_EACH, tf.uint64)), tf.uint8)
    return tf.reshape(octets, [rows, 8 * columns]) != 0


def _coded(blocks: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the packed bits and the two means of `blocks`, one block in each row."""
    bits = pack_bits(blocks > 0)
    ones = tf.reduce_sum(tf.cast(tf.raw_ops.PopulationCount(x=bits), tf.int32), 1)
    zeros = tf.shape(blocks)[1] - ones
    total = tf.reduce_sum(blocks, 1)
    of_above = tf.reduce_sum(tf.nn.relu(blocks), 1)
    of_rest = total - of_above
    means = [
        tf.math.divide_no_nan(of_above, tf.cast(ones, tf.float32)),
        tf.math.divide_no_nan(tf.minimum(of_rest, 0.0), tf.cast(zeros, tf.float32)),
    ]
    finite = tf.math.is_finite(of_rest)[:, None]
    return bits, tf.where(finite, tf.stack(means, 1), float("nan"))
