"""What a codec is, and Identity."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.unit.wire import samples
from tfps.wire import Identity, Parameter
from tfps.wire.codec import num_bytes, num_elements, pack, unpack


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
def test_unpack_needs_to_know_numbers_of_rows_only_when_it_runs(rows: list[int]) -> None:
    widths = [(2,), (), (3, 2)][: len(rows)]
    values = [tf.random.normal((n, *width)) for n, width in zip(rows, widths, strict=True)]
    shapes = [(tf.constant(n), *width) for n, width in zip(rows, widths, strict=True)]
    for value, piece in zip(values, unpack(pack(values), shapes), strict=True):
        np.testing.assert_array_equal(piece.numpy(), value.numpy())


def test_elements_and_bytes_are_ints_where_shapes_are_static() -> None:
    assert num_elements((3, 4)) == 12
    assert num_elements(()) == 1
    assert num_elements((tf.constant(3), 4)).numpy() == 12
    assert num_bytes([tf.zeros([3], tf.bfloat16), tf.zeros([2, 2], tf.int8)]) == 10
    assert num_bytes([tf.constant(["abc", ""]), tf.zeros([1])]).numpy() == 7


@pytest.mark.parametrize(
    ("shape", "rows", "protected"),
    [
        ((64,), False, True),
        ((4096,), False, True),
        ((32, 31), False, True),
        ((32, 32), False, False),
        ((4, 4), True, False),
    ],
)
def test_vectors_and_small_parameters_are_protected(
    shape: tuple[int, ...], rows: bool, protected: bool
) -> None:
    assert Parameter.of("x", shape, rows=rows).protected is protected


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_identity_is_exact(dtype: str) -> None:
    values = samples.tensors(dtype=dtype)
    values[0][0, :3] = np.nan, np.inf, -np.inf
    for value, decoded in zip(values, samples.through(Identity(), values), strict=True):
        np.testing.assert_array_equal(decoded, value)
