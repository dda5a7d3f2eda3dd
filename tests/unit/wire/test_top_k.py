"""TopK: which numbers are sent, and how many."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
import tensorflow as tf

from tests.unit.wire import samples
from tfps.wire import TopK
from tfps.wire.codec import num_bytes

SIZES = [0, 1, 65, 1000, 60_000]


def _sent(codec: TopK, value: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    parts = codec.encode([tf.constant(value)], seed=tf.constant([seed, 1])).parts
    assert [part.dtype for part in parts] == [tf.int32, tf.float32]
    indices, values = (part.numpy() for part in parts)
    assert len(set(indices)) == len(indices)
    np.testing.assert_array_equal(values, value.astype("float32")[indices])
    return indices, values


@samples.each(kind=samples.KINDS, size=SIZES, fraction=[1e-9, 0.01, 0.07, 1.0])
def test_exactly_the_largest_are_sent(kind: str, size: int, fraction: float) -> None:
    value = samples.vector(kind, size)
    k = math.ceil(round(fraction * size, 6)) if fraction > 1e-6 else min(size, 1)
    indices, values = _sent(TopK(fraction), value)
    assert len(indices) == k
    np.testing.assert_array_equal(np.sort(abs(values)), np.sort(abs(value))[size - k :])
    np.testing.assert_array_equal(np.sort(indices), np.sort(tf.math.top_k(abs(value), k).indices))


@samples.each(kind=samples.KINDS, size=SIZES, dtype=["float32", "float64"])
def test_the_rest_decodes_to_zero_within_the_bound(kind: str, size: int, dtype: str) -> None:
    value = samples.vector(kind, size, dtype)
    [decoded] = samples.through(TopK(0.05), [value])
    indices, _ = _sent(TopK(0.05), value)
    expected = np.zeros_like(value)
    expected[indices] = value[indices].astype("float32")
    np.testing.assert_array_equal(decoded, expected)
    share = 1 - len(indices) / max(size, 1)
    squares = (value.astype("float64") ** 2).sum()
    assert ((decoded - value).astype("float64") ** 2).sum() <= share * squares + 1e-13 * squares


@samples.each(kind=samples.KINDS, fraction=[0.001, 0.01, 0.5])
def test_a_sampled_threshold_bounds_how_many_are_sent(kind: str, fraction: float) -> None:
    value = samples.vector(kind, 200_000)
    k = math.ceil(fraction * 200_000)
    for seed in range(3):
        indices, values = _sent(TopK(fraction, threshold="sampled"), value, seed)
        assert values.all()
        assert len(indices) <= 2 * k
        if value.any():
            assert abs(values).max() == abs(value).max()
        if kind != "constant":  # where all are as large, any are the largest
            rest = np.delete(abs(value), indices)
            assert abs(values).min(initial=np.inf) >= rest.max(initial=0)


def test_about_as_many_are_sent_as_asked_for() -> None:
    value = samples.vector("normal", 500_000)
    counts = [len(_sent(TopK(0.01, threshold="sampled"), value, n)[0]) for n in range(20)]
    assert np.mean(counts) == pytest.approx(5000, rel=0.1)
    assert np.std(counts) < 5000 / 10 * 1.5


def test_all_that_is_not_zero_is_sent_where_that_is_little() -> None:
    value = np.zeros(50_000, "float32")
    value[::1000] = samples.vector("normal", 50)
    for codec in (TopK(0.01), TopK(0.01, threshold="sampled")):
        np.testing.assert_array_equal(samples.through(codec, [value])[0], value)


def test_the_largest_of_all_tensors_are_sent() -> None:
    small, large = samples.vector("normal", 3000), 100 * samples.vector("normal", 3000)
    decoded = samples.through(TopK(0.1), [small.reshape(30, 100), large.reshape(3, 10, 10, 10)])
    assert np.count_nonzero(decoded[0]) == 0
    assert np.count_nonzero(decoded[1]) == 600


@pytest.mark.parametrize("size", [100, 50_000])
@pytest.mark.parametrize("threshold", ["exact", "sampled"])
def test_what_is_not_finite_comes_first(size: int, threshold: Literal["exact", "sampled"]) -> None:
    value = samples.vector("huge", size)
    value[[3, 50, 77]] = np.nan, -np.inf, -np.nan
    indices, _ = _sent(TopK(3 / size, threshold=threshold), value)
    assert {3, 50, 77} <= set(indices)


def test_eight_bytes_travel_for_each_that_is_sent() -> None:
    parts = TopK(0.01).encode([tf.zeros([60_000])], seed=samples.SEED).parts
    assert num_bytes(parts) == 600 * 8


@pytest.mark.parametrize("fraction", [0, -0.1, 1.1, float("nan")])
def test_a_fraction_is_above_0_and_at_most_1(fraction: float) -> None:
    with pytest.raises(ValueError, match=rf"TopK: fraction is {fraction}; .* above 0"):
        TopK(fraction)


def test_other_thresholds_are_refused() -> None:
    with pytest.raises(ValueError, match="threshold is 'guessed'; it is 'exact' or 'sampled'"):
        TopK(0.1, threshold="guessed")  # type: ignore[arg-type]
