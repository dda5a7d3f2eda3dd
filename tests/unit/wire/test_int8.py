"""Int8: its errors by block, and that stochastic rounding is right on average."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import tensorflow as tf

from tests.unit.wire import samples
from tfps.wire import Int8
from tfps.wire.codec import num_bytes


def _largest_of_block(value: np.ndarray, block: int) -> np.ndarray:
    """Return the largest absolute value of the block of each number."""
    padded = np.pad(abs(value), (0, -len(value) % block)).reshape(-1, block)
    return np.repeat(padded.max(axis=1), block)[: len(value)]


@samples.each(
    kind=samples.KINDS,
    size=samples.LENGTHS,
    dtype=["float32", "float64"],
    rounding=["nearest", "stochastic"],
)
def test_numbers_are_off_by_a_share_of_the_largest_of_their_block(
    kind: str, size: int, dtype: str, rounding: Literal["nearest", "stochastic"]
) -> None:
    value = samples.vector(kind, size, dtype)
    [decoded] = samples.through(Int8(block=64, rounding=rounding), [value])
    parts = 253 if rounding == "nearest" else 126
    assert (abs(decoded - value) <= _largest_of_block(value, 64) / parts).all()


def test_a_block_of_the_smallest_numbers_becomes_zeros() -> None:
    value = np.float32([1e-36, -1e-38, 0, 1e-3, 2e-3, 0])
    [decoded] = samples.through(Int8(block=3), [value])
    np.testing.assert_array_equal(decoded[:3], 0)
    np.testing.assert_allclose(decoded[3:], value[3:], atol=2e-3 / 253)


def test_the_ends_of_float32_are_no_danger() -> None:
    value = np.float32([3.4e38, -3.4e38, 1e38, 2e-36, -2e-36, 1e-36])
    for rounding in ("nearest", "stochastic"):
        [decoded] = samples.through(Int8(block=3, rounding=rounding), [value])
        np.testing.assert_array_less(abs(decoded - value), [3e36] * 3 + [2e-38] * 3)


def test_float64_beyond_float32_is_not_finite() -> None:
    [decoded] = samples.through(Int8(block=2), [np.array([1e300, 1.0, 1.0])])
    assert np.isnan(decoded[:2]).all()
    assert decoded[2] == pytest.approx(1.0)


def test_only_the_block_of_a_nan_becomes_nan() -> None:
    value = samples.vector("normal", 200)
    value[70] = np.nan
    [decoded] = samples.through(Int8(block=64), [value])
    np.testing.assert_array_equal(np.isnan(decoded), (np.arange(200) // 64) == 1)


def test_stochastic_rounding_is_right_on_average() -> None:
    value = samples.vector("normal", 100)
    codec = Int8(block=64, rounding="stochastic")
    rounds = 2000
    decoded = samples.repeatedly(codec, value, rounds)
    scale = _largest_of_block(value, 64) / 127
    # The standard deviation of one rounding is at most half the scale.
    assert (abs(np.mean(decoded, 0) - value) <= 5 * scale / 2 / np.sqrt(rounds)).all()
    assert (np.std(decoded, 0) <= scale / 2 * 1.01).all()


def test_stochastic_rounding_draws_anew_with_each_seed_and_in_each_part() -> None:
    value = np.append(np.full(96, 0.5), [127] * 2 + [0.5] * 30).astype("float32")
    codec = Int8(block=32, rounding="stochastic")
    value[::32] = 127
    first, second = (samples.through(codec, [value], tf.constant([n, 0]))[0] for n in (1, 2))
    assert (first != second).any()
    assert (first[:32] != first[32:64]).any()


def test_a_byte_travels_for_each_number_and_a_scale_for_each_block() -> None:
    parts = Int8(block=64).encode([tf.zeros([130])], seed=samples.SEED).parts
    assert num_bytes(parts) == 130 + 3 * 4


@pytest.mark.parametrize("block", [0, -1, 1.5])
def test_blocks_have_elements(block: int) -> None:
    with pytest.raises(ValueError, match=rf"Int8: block is {block}; .* at least 1"):
        Int8(block=block)


def test_other_roundings_are_refused() -> None:
    with pytest.raises(ValueError, match="rounding is 'up'; it is 'nearest' or 'stochastic'"):
        Int8(rounding="up")  # type: ignore[arg-type]
