"""Int8: one byte for each number."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Literal

import tensorflow as tf
from typing_extensions import override

from tfps.wire.blocks import by_block, check_block, in_blocks
from tfps.wire.codec import VectorCodec, pack


@dataclasses.dataclass(frozen=True)
class Int8(VectorCodec):
    """Sends an int8 for each number, and the scale of each block of them, a float32.

    The scale is 1/127 of the block's largest absolute value. Rounded to the nearest, each number is
    off by at most 1/253 of that value; rounded stochastically by at most 1/126, and right on
    average, to 2^-16 of the scale. A block of zeros stays zeros; one whose largest value is below
    1.5e-36 may become zeros. A block that holds a NaN or an infinity, or a float64 beyond float32's
    range, becomes NaN.

    Dettmers et al., 8-bit Optimizers via Block-wise Quantization, 2021 (arXiv:2110.02861);
    stochastic rounding: Alistarh et al., QSGD: Communication-Efficient SGD via Gradient
    Quantization and Encoding, 2016 (arXiv:1610.02132).

    Attributes:
        block: how many numbers share a scale.
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
        """Return the codes of `blocks`, a block to a row, and their scales."""
        # Short of 127, so that no rounding error on top of a random number just below 1 gives 128.
        levels = 127.0 if self.rounding == "nearest" else 126.9999
        # The two need no temporary, as the absolute values would.
        largest = tf.maximum(tf.reduce_max(blocks, 1), -tf.reduce_min(blocks, 1))
        scales = largest * (1 / levels)
        # 1 / scale would overflow below.
        usable = scales >= 2.0**-126
        inverse = tf.where(usable, 1 / scales, 0.0)
        rounded = self._rounded(blocks * inverse[:, None], seed)
        # Whether a maximum passes a NaN on depends on the device; a sum does.
        finite = tf.math.is_finite(tf.reduce_sum(rounded, 1))
        return tf.cast(rounded, tf.int8), tf.where(finite, scales, float("nan"))

    def _rounded(self, values: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        if self.rounding == "nearest":
            return tf.math.rint(values)
        # 16 random bits each: more would be lost beside 127 in float32.
        size = tf.size(values)
        bits = tf.random.stateless_uniform(
            [(size + 1) // 2], seed, None, None, tf.int32, alg="philox"
        )
        halves = tf.reshape(tf.bitcast(bits, tf.uint16), [-1])[:size]
        fractions = tf.reshape(tf.cast(halves, tf.float32) * 2.0**-16, tf.shape(values))
        return tf.floor(values + fractions)
