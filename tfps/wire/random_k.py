"""RandomK: numbers at random positions, which need not travel."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf
from typing_extensions import override

from tfps.wire.codec import length
from tfps.wire.finite import all_finite
from tfps.wire.sparsifier import Sparsifier, check_fraction, draw_positions, share


@dataclasses.dataclass(frozen=True)
class RandomK(Sparsifier):
    """Sends numbers at random positions: the float32 numbers, and the seed of the positions.

    The vector is cut into `k = ceil(fraction * n)` stretches, as equal as can be, and one number of
    each is sent, drawn independently: of a stretch of length l each with the probability 1 / l, to
    2^-32. Where one of all numbers is not finite, all that are sent are NaN.

    As they are, the expected squared error is at most `(1 - 1 / l) |x|^2`, l the longest stretch:
    for `ErrorFeedback`. Unbiased, each is sent times the length of its stretch, nearly
    1 / fraction, which makes it right on average, with a squared error of `(l - 1) |x|^2` at most.

    Stich et al., Sparsified SGD with Memory, 2018 (arXiv:1809.07599); unbiased: Wangni et al.,
    Gradient Sparsification for Communication-Efficient Distributed Optimization, 2017
    (arXiv:1710.09854). Positions from a seed: Konečný et al., Federated Learning: Strategies for
    Improving Communication Efficiency, 2016 (arXiv:1610.05492).

    Attributes:
        fraction: the share of the numbers that is sent, above 0 and at most 1.
        unbiased: whether what is sent makes up for what is not.
    """

    fraction: float
    unbiased: bool = False

    def __post_init__(self) -> None:
        check_fraction("RandomK", self.fraction)

    @override
    def encode_vector(self, vector: tf.Tensor, seed: tf.Tensor) -> list[tf.Tensor]:
        size = length(vector)
        positions, lengths = draw_positions(size, share(size, self.fraction), seed)
        values = tf.cast(tf.gather(vector, positions), tf.float32)
        if self.unbiased:
            values *= tf.cast(lengths, tf.float32)
        return [seed, tf.where(all_finite(vector), values, float("nan"))]

    @override
    def positions(self, parts: Sequence[tf.Tensor], size: int | tf.Tensor) -> tf.Tensor:
        seed, values = parts
        return draw_positions(size, length(values), seed)[0]
