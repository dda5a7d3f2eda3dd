"""Cast: each number travels in two bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Literal

import tensorflow as tf
from typing_extensions import override

from tfps.wire.codec import VectorCodec


@dataclasses.dataclass(frozen=True)
class Cast(VectorCodec):
    """Rounds each number to a 16-bit float.

    bfloat16 has the range of float32, and a relative error of at most 2^-8. float16 has a relative
    error of at most 2^-11 for numbers from 6e-5 to 65504. Smaller numbers have an absolute error of
    at most 3e-8, and larger ones become 65504. Infinities and NaN stay as they are.

    Micikevicius et al., Mixed Precision Training, 2018 (arXiv:1710.03740); Kalamkar et al., A Study
    of BFLOAT16 for Deep Learning Training, 2019 (arXiv:1905.12322).

    Attributes:
        dtype: "bfloat16" or "float16".
    """

    codes_pulls: ClassVar[bool] = True
    codes_rows: ClassVar[bool] = True

    dtype: Literal["bfloat16", "float16"] = "bfloat16"

    def __post_init__(self) -> None:
        if self.dtype not in ("bfloat16", "float16"):
            raise ValueError(f"Cast takes 'bfloat16' or 'float16', not {self.dtype!r}.")

    @override
    def encode_vector(self, vector: tf.Tensor, seed: tf.Tensor) -> list[tf.Tensor]:
        del seed
        if self.dtype == "float16":
            largest = tf.constant(tf.float16.max, vector.dtype)
            clipped = tf.clip_by_value(vector, -largest, largest)
            vector = tf.where(tf.math.is_inf(vector), vector, clipped)
        return [tf.cast(vector, self.dtype)]

    @override
    def decode_vector(
        self, parts: Sequence[tf.Tensor], size: int | tf.Tensor, dtype: tf.DType
    ) -> tf.Tensor:
        del size
        return tf.cast(parts[0], dtype)
