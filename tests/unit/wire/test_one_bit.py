"""OneBit: the error of a block, its mean, and the bits."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.unit.wire import samples
from tfps.wire import OneBit
from tfps.wire.codec import num_bytes
from tfps.wire.one_bit import pack_bits, unpack_bits


@samples.each(kind=samples.KINDS, size=samples.LENGTHS, dtype=["float32", "float64"])
def test_the_error_of_a_block_is_bounded_and_its_mean_kept(
    kind: str, size: int, dtype: str
) -> None:
    value = samples.vector(kind, size, dtype)
    [decoded] = samples.through(OneBit(block=64), [value])
    for start in range(0, size, 64):
        x = value[start : start + 64].astype("float64")
        d = decoded[start : start + 64].astype("float64")
        most = (x**2).sum() - abs(x).sum() ** 2 / len(x)
        assert ((d - x) ** 2).sum() <= most + 1e-5 * (x**2).sum()
        assert d.mean() == pytest.approx(x.mean(), abs=1e-5 * abs(x).mean())


def test_numbers_become_the_mean_of_their_side() -> None:
    value = np.float32([1, 2, 3, -1, 0, -5, 0, 0, -4])
    [decoded] = samples.through(OneBit(block=8), [value])
    np.testing.assert_allclose(decoded, [2, 2, 2, *[-6 / 5] * 5, -4], rtol=1e-6)


def test_only_the_block_of_a_nan_becomes_nan() -> None:
    value = np.ones(200, "float32")
    value[70] = np.nan
    [decoded] = samples.through(OneBit(block=64), [value])
    np.testing.assert_array_equal(np.isnan(decoded), (np.arange(200) // 64) == 1)


@samples.each(shape=[(0, 8), (3, 8), (2, 24), (2, 13), (1, 1), (0, 0)])
def test_bits_come_back(shape: tuple[int, int]) -> None:
    flags = np.random.default_rng(0).random(shape) < 0.5
    packed = pack_bits(tf.constant(flags))
    assert packed.shape == (shape[0], -(-shape[1] // 8))
    np.testing.assert_array_equal(unpack_bits(packed)[:, : shape[1]], flags)
    expected = np.packbits(flags, axis=1)
    assert np.unpackbits(packed.numpy()).sum() == np.unpackbits(expected).sum()


def test_a_bit_travels_for_each_number_and_two_means_for_each_block() -> None:
    parts = OneBit(block=64).encode([tf.zeros([130])], seed=samples.SEED).parts
    assert num_bytes(parts) == 17 + 3 * 8


@pytest.mark.parametrize("block", [0, 12, 2.0])
def test_blocks_fill_bytes(block: int) -> None:
    with pytest.raises(ValueError, match=rf"OneBit: block is {block}; .* a multiple of 8"):
        OneBit(block=block)
