"""TopK: the largest numbers, and where they belong."""

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
    """Sends the numbers that are largest by absolute value, of all tensors together.

    With n numbers and `k = ceil(fraction * n)`, 8 bytes travel for each that is sent: an int32 and
    a float32, to which a float64 is rounded. NaN and infinities count as larger than all others.
    What is not sent decodes to zero, so with the exact threshold the squared error is at most
    `(1 - k / n) |x|^2`.

    The exact threshold sends k numbers, those of `tf.math.top_k`. The sampled one is what k / n of
    a random sample reach: 1 % of the numbers, and so many that 100 do. About k numbers reach it,
    with a standard deviation of k / 10 at most, and are sent; where more than 2 k do, the k largest
    of them. Zeros are never sent; the largest number is, unless it is zero. Where the sample would
    be all numbers, and k at most 100, both thresholds are exact.

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
        # Four standard deviations more than needed: fewer than k turn up once in 30,000 times.
        large = _above_threshold(magnitudes, self.fraction, 4.0, seed)
        return tf.cond(
            tf.size(large) >= k,
            lambda: _largest(magnitudes, large, k),
            lambda: tf.cast(tf.math.top_k(magnitudes, k, sorted=False).indices, tf.int64),
        )


def _magnitudes(vector: tf.Tensor) -> tf.Tensor:
    """Return integers that sort like absolute values, above them infinities, and above those NaN.

    They are the bits of a float32 but for its sign.
    """
    return tf.bitwise.bitwise_and(tf.bitcast(vector, tf.int32), 0x7FFFFFFF)


def _above_threshold(
    magnitudes: tf.Tensor, fraction: float, deviations: float, seed: tf.Tensor
) -> tf.Tensor:
    """Return the positions, rising, of about a fraction of the numbers, the largest that are not 0.

    Args:
        magnitudes: int32, a vector.
        fraction: the share of them to return.
        deviations: how many standard deviations of their number to return on top.
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
    """Return those of some positions at which the k largest numbers are."""
    found = tf.math.top_k(tf.gather(magnitudes, positions), k, sorted=False)
    return tf.gather(positions, found.indices)
