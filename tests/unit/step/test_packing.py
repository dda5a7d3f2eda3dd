"""Several tensors as one."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfps.step.packing import pack, unpack, unpack_rows


@pytest.mark.parametrize(
    "shapes", [[(2, 3)], [(2, 3), (), (4,)], [(0, 5), (1, 1)], [(3, 0)]], ids=str
)
def test_unpack_returns_what_was_packed(shapes: list[tuple[int, ...]]) -> None:
    generator = np.random.default_rng(0)
    values = [generator.normal(size=shape).astype("float32") for shape in shapes]
    values[0].flat[:1] = np.nan
    packed = pack([tf.constant(value) for value in values])
    assert packed.shape == (sum(value.size for value in values),)
    for value, unpacked in zip(values, unpack(packed, shapes), strict=True):
        np.testing.assert_array_equal(unpacked.numpy(), value)


@pytest.mark.parametrize("rows", [[2, 0, 3], [4]])
def test_unpack_rows_needs_to_know_only_the_widths(rows: list[int]) -> None:
    widths = [(2,), (), (3, 2)][: len(rows)]
    values = [tf.random.normal((n, *width)) for n, width in zip(rows, widths, strict=True)]
    unpacked = unpack_rows(pack(values), tf.constant(rows), widths)
    for value, piece in zip(values, unpacked, strict=True):
        np.testing.assert_array_equal(piece.numpy(), value.numpy())
