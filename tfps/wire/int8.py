"""Int8: each number travels in one byte."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Literal

import tensorflow as tf
from typing_extensions import override

from tfps.wire.codec import VectorCodec, pack
from tfps.wire.vectors import by_block, check_block, in_blocks


@dataclasses.dataclass(frozen=True)
class Int8(VectorCodec):
    """Rounds each number to an int8, with one float32 scale for each block of numbers.

    The scale is 1/127 of the largest absolute value in the block. With rounding to the nearest, the
    error of each number is at most 1/253 of that value. With stochastic rounding it is at most
    1/126 of it, and its mean is zero, up to 2^-16 of the scale. A block of zeros decodes to zeros;
    a block whose largest absolute value is below 1.5e-36 may do so, too. A block that holds a NaN,
    an infinity, or a float64 beyond the range of float32, decodes to NaN.

    Dettmers et al., 8-bit Optimizers via Block-wise Quantization, 2021 (arXiv:2110.02861);
    stochastic rounding: Alistarh et al., QSGD: Communication-Efficient SGD via Gradient
    Quantization and Encoding, 2016 (arXiv:1610.02132).

    Attributes:
        block: the number of numbers that share a scale.
        rounding: "nearest" or "stochastic".
    """

    codes_pulls: ClassVar[bool] = True
    codes_rows: ClassVar[bool] = True

    block: int = 1024
    rounding: Literal["nearest", "stochastic"] = "nearest"

    def __post_init__(self) -> None:
        check_block("Int8", self.block)
        if self.rounding not in ("nearest", "stochastic"):
            raise ValueError(
                f"Int8: rounding is {self.rounding!r}; it is 'nearest' or 'stochastic'."
            )

    @override
    def encode_vector(self, vector: tf.Tensor, seed: tf.Tensor) -> list[tf.Tensor]:
        blocks = in_blocks(tf.cast(vector, tf.float32), self.block)
        coded = [
            self._coded(matrix, tf.random.experimental.stateless_fold_in(seed, index))
            for index, matrix in enumerate(blocks)
        ]
        codes, scales = zip(*coded, strict=True)
        return [pack(codes), pack(scales)]

    @override
    def decode_vector(
        self, parts: Sequence[tf.Tensor], size: int | tf.Tensor, dtype: tf.DType
    ) -> tf.Tensor:
        codes, scales = parts
        values = tf.cast(by_block(codes, self.block), dtype) * tf.cast(scales, dtype)[:, None]
        return tf.reshape(values, [-1])[:size]

    def _coded(self, blocks: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the codes and the scales of `blocks`, one block in each row."""
        # Less than 127, so that a rounding error plus a random number just below 1 never gives 128.
        levels = 127.0 if self.rounding == "nearest" else 126.9999
        # Unlike the maximum of the absolute values, this needs no temporary.
        largest = tf.maximum(tf.reduce_max(blocks, 1), -tf.reduce_min(blocks, 1))
        scales = largest * (1 / levels)
        # For a smaller scale, 1 / scale would overflow.
        usable = scales >= 2.0**-126
        inverse = tf.where(usable, 1 / scales, 0.0)
        rounded = self._rounded(blocks * inverse[:, None], seed)
        # A sum always propagates NaN; whether a maximum does depends on the device.
        finite = tf.math.is_finite(tf.reduce_sum(rounded, 1))
        return tf.cast(rounded, tf.int8), tf.where(finite, scales, float("nan"))

    def _rounded(self, values: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        if self.rounding == "nearest":
            return tf.math.rint(values)
        # 16 random bits for each number: float32 would round more of them away beside 127.
        size = tf.size(values)
        bits = tf.random.stateless_uniform(
            [(size + 1) // 2], seed, None, None, tf.int32, alg="philox"
        )
        halves = tf.reshape(tf.bitcast(bits, tf.uint16), [-1])[:size]
        fractions = tf.reshape(tf.cast(halves, tf.float32) * 2.0**-16, tf.shape(values))
        return tf.floor(values + fractions)
