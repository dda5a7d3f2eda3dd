"""RandomK: where the numbers come from, and what they are on average."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.unit.wire import samples
from tfps.wire import RandomK
from tfps.wire.codec import num_bytes
from tfps.wire.sparsifier import draw_positions


@samples.each(kind=samples.KINDS, size=samples.LENGTHS, dtype=["float32", "float64"])
def test_one_number_of_each_stretch_arrives(kind: str, size: int, dtype: str) -> None:
    value = samples.vector(kind, size, dtype)
    [decoded] = samples.through(RandomK(0.13), [value])
    assert ((decoded == 0) | (decoded == value.astype("float32"))).all()
    k = math.ceil(0.13 * size)
    for index in range(k):
        stretch = decoded[index * size // k : (index + 1) * size // k]
        assert np.count_nonzero(stretch) <= 1
        if kind == "constant":
            assert np.count_nonzero(stretch) == 1


def test_each_position_of_a_stretch_is_as_likely() -> None:
    rounds = 2000
    lengths = draw_positions(23, 5, samples.SEED)[1].numpy()
    draw = tf.function(lambda n: draw_positions(23, 5, tf.stack([n, 7]))[0])
    positions = np.array([draw(tf.constant(n)) for n in range(rounds)])
    assert lengths.sum() == 23
    assert set(lengths) == {4, 5}
    counts = np.bincount(positions.reshape(-1), minlength=23) / rounds
    likely = np.repeat(1 / lengths, lengths)
    assert (abs(counts - likely) <= 5 * np.sqrt(likely / rounds)).all()
    assert abs(np.corrcoef((positions - positions.mean(0)).T) - np.eye(5)).max() < 0.1


def test_unbiased_is_right_on_average_with_a_bounded_variance() -> None:
    value = samples.vector("normal", 50)
    rounds = 2000
    codec = RandomK(0.25, unbiased=True)
    decoded = samples.repeatedly(codec, value, rounds)
    longest = 4  # of 13 stretches of 50 numbers
    assert (abs(decoded.mean(0) - value) <= 5 * abs(value) * np.sqrt(longest / rounds)).all()
    errors = ((decoded - value) ** 2).sum(1)
    assert errors.mean() <= (longest - 1) * (value**2).sum() * 1.05


def test_as_they_are_the_expected_error_is_below_the_norm() -> None:
    value = samples.vector("heavy tailed", 50)
    decoded = samples.repeatedly(RandomK(0.25), value, 1000)
    errors = ((decoded - value) ** 2).sum(1)
    assert errors.mean() <= (1 - 1 / 4) * (value**2).sum() * 1.05


def test_positions_do_not_travel() -> None:
    parts = RandomK(0.01).encode([tf.zeros([60_000])], seed=samples.SEED).parts
    assert num_bytes(parts) == 600 * 4 + 8


def test_another_seed_draws_others() -> None:
    value = np.ones(1000, "float32")
    first, again, other = (
        samples.through(RandomK(0.01), [value], tf.constant([n, 0]))[0] for n in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_fraction_is_above_0() -> None:
    with pytest.raises(ValueError, match=r"RandomK: fraction is 0; .* above 0 and at most 1"):
        RandomK(0)
