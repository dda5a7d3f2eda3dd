"""TopK: the largest numbers, with their positions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

import tensorflow as tf
from typing_extensions import override

from tfps.wire.codec import length
from tfps.wire.sparsifier import Sparsifier, check_fraction, draw_positions, share

_SAMPLED = 0.01
_LEAST_RANK = 100


@dataclasses.dataclass(frozen=True)
class TopK(Sparsifier):
    """Sends the numbers with the largest absolute values, of all tensors together.

    Of n numbers about `k = ceil(fraction * n)` are sent, in 8 bytes each: the position as int32,
    and the value as float32. NaN and infinities count as larger than all other numbers. Numbers
    that are not sent decode to zero. With the exact threshold, the squared error is at most
    `(1 - k / n) |x|^2`.

    The exact threshold sends the k numbers of `tf.math.top_k`. The sampled threshold is estimated
    from a random sample: at least 1 % of the numbers, and enough that 100 of them are above the
    threshold. The number of numbers above it is k on average, with a standard deviation of at most
    k / 10; all of them are sent, but only the k largest if there are more than 2 k. Zeros are never
    sent; the largest number always is, unless it is zero. If k is at most 100, and the sample would
    be all numbers, both thresholds are exact.

    Exact: Aji and Heafield, Sparse Communication for Distributed Gradient Descent, 2017
    (arXiv:1704.05021). Sampled, with the second selection: Lin et al., Deep Gradient Compression,
    2018 (arXiv:1712.01887).

    Attributes:
        fraction: the share of the numbers that is sent, above 0 and at most 1.
        threshold: "exact" or "sampled".
    """

    fraction: float
    threshold: Literal["exact", "sampled"] = "exact"

    def __post_init__(self) -> None:
        check_fraction("TopK", self.fraction)
        if self.threshold not in ("exact", "sampled"):
            raise ValueError(f"TopK: threshold is {self.threshold!r}; it is 'exact' or 'sampled'.")

    @override
    def encode_vector(self, vector: tf.Tensor, seed: tf.Tensor) -> list[tf.Tensor]:
        vector = tf.cast(vector, tf.float32)
        chosen = self._choose(_magnitudes(vector), seed)
        return [tf.cast(chosen, tf.int32), tf.gather(vector, chosen)]

    @override
    def positions(self, parts: Sequence[tf.Tensor], size: int | tf.Tensor) -> tf.Tensor:
        return parts[0]

    def _choose(self, magnitudes: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        size = length(magnitudes)
        k = share(size, self.fraction)
        if isinstance(size, int) and size <= _LEAST_RANK / self.fraction:
            return tf.math.top_k(magnitudes, k, sorted=False).indices
        if self.threshold == "sampled":
            large = _above_threshold(magnitudes, self.fraction, 0.0, seed)
            return tf.cond(
                tf.size(large) > 2 * k,
                lambda: _largest(magnitudes, large, k),
                lambda: large,
            )
        # Four standard deviations on top: fewer than k turn up about once in 30,000 times.
        large = _above_threshold(magnitudes, self.fraction, 4.0, seed)
        return tf.cond(
            tf.size(large) >= k,
            lambda: _largest(magnitudes, large, k),
            lambda: tf.cast(tf.math.top_k(magnitudes, k, sorted=False).indices, tf.int64),
        )


def _magnitudes(vector: tf.Tensor) -> tf.Tensor:
    """Return integers in the order of the absolute values, then infinities, then NaN.

    They are the bits of the float32 values without the sign.
    """
    return tf.bitwise.bitwise_and(tf.bitcast(vector, tf.int32), 0x7FFFFFFF)


def _above_threshold(
    magnitudes: tf.Tensor, fraction: float, deviations: float, seed: tf.Tensor
) -> tf.Tensor:
    """Return the positions, in rising order, of about a fraction of the numbers: the largest.

    Zeros are never among them.

    Args:
        magnitudes: int32, a vector.
        fraction: the share of the numbers to return.
        deviations: the number of standard deviations by which to return more.
        seed: int32, of shape `(2,)`.
    """
    size = length(magnitudes)
    least = min(math.ceil(_LEAST_RANK / fraction), 2**31 - 1)
    drawn = tf.minimum(size, tf.maximum(share(size, _SAMPLED), least))
    sample = tf.gather(magnitudes, draw_positions(size, drawn, seed)[0])
    rank = tf.cast(share(drawn, fraction), tf.float64)
    rank += tf.math.ceil(deviations * tf.sqrt(rank))
    largest = tf.math.top_k(sample, tf.minimum(tf.cast(rank, tf.int32), drawn), sorted=False)
    threshold = tf.maximum(tf.reduce_min(largest.values), 1)
    return tf.where(magnitudes >= threshold)[:, 0]


def _largest(magnitudes: tf.Tensor, positions: tf.Tensor, k: int | tf.Tensor) -> tf.Tensor:
    """Return the k of some positions that hold the largest numbers."""
    largest = tf.math.top_k(tf.gather(magnitudes, positions), k, sorted=False)
    return tf.gather(positions, largest.indices)
