"""RandomK: numbers at random positions; a seed travels in place of the positions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf
from typing_extensions import override

from tfps.wire.codec import length
from tfps.wire.sparsifier import Sparsifier, check_fraction, draw_positions, share
from tfps.wire.vectors import all_finite


@dataclasses.dataclass(frozen=True)
class RandomK(Sparsifier):
    """Sends the numbers at random positions, as float32, and the seed of the positions.

    The n numbers are divided into `k = ceil(fraction * n)` sections of nearly equal length. One
    number of each section is sent, drawn independently and uniformly (to 2^-32). Numbers that are
    not sent decode to zero. If any of the n numbers is not finite, all that are sent are NaN.

    Let l be the length of the longest section. By default the expected squared error is at most
    `(1 - 1 / l) |x|^2`: use it inside `ErrorFeedback`. With `unbiased`, each number is multiplied
    by the length of its section, about 1 / fraction. The result is exact on average, with a squared
    error of at most `(l - 1) |x|^2`.

    Stich et al., Sparsified SGD with Memory, 2018 (arXiv:1809.07599); unbiased: Wangni et al.,
    Gradient Sparsification for Communication-Efficient Distributed Optimization, 2017
    (arXiv:1710.09854). Positions from a seed: Konečný et al., Federated Learning: Strategies for
    Improving Communication Efficiency, 2016 (arXiv:1610.05492).

    Attributes:
        fraction: the share of the numbers that is sent, above 0 and at most 1.
        unbiased: whether sent numbers are scaled up to make up for those that are not sent.
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
