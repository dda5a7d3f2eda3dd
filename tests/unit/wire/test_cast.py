"""Cast: its errors, and what 16 bits cannot hold."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.wire import samples
from tfps.wire import Cast


@samples.each(kind=samples.KINDS, size=samples.LENGTHS)
def test_bfloat16_is_off_by_at_most_a_256th(kind: str, size: int) -> None:
    value = samples.vector(kind, size)
    [decoded] = samples.through(Cast(), [value])
    assert (abs(decoded - value) <= abs(value) * 2.0**-8).all()


@samples.each(kind=["normal", "heavy tailed", "sparse", "zeros", "constant", "tiny"])
def test_float16_is_off_by_at_most_a_2048th_within_its_range(kind: str) -> None:
    value = np.clip(samples.vector(kind, 5000), -65504, 65504)
    [decoded] = samples.through(Cast("float16"), [value])
    assert (abs(decoded - value) <= np.maximum(abs(value) * 2.0**-11, 3e-8)).all()


def test_float16_ends_at_its_largest_number_but_keeps_infinities() -> None:
    value = np.float32([1e9, -1e9, np.inf, -np.inf, np.nan])
    [decoded] = samples.through(Cast("float16"), [value])
    np.testing.assert_array_equal(decoded, [65504, -65504, np.inf, -np.inf, np.nan])


def test_other_dtypes_are_refused() -> None:
    with pytest.raises(ValueError, match="'bfloat16' or 'float16', not 'int8'"):
        Cast("int8")  # type: ignore[arg-type]
