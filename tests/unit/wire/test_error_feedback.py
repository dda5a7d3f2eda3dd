"""ErrorFeedback: nothing is lost, only late."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.unit.wire import samples
from tfps.wire import (
    Cast,
    Codec,
    ErrorFeedback,
    Identity,
    Int8,
    Lossless,
    MomentumCorrection,
    OneBit,
    Parameter,
    PowerSGD,
    RandomK,
    TopK,
)

INNER: list[Codec] = [
    Cast(),
    Int8(block=64),
    Int8(block=64, rounding="stochastic"),
    OneBit(block=64),
    TopK(0.01),
    TopK(0.01, threshold="sampled"),
    RandomK(0.01),
    PowerSGD(2),
    Lossless(OneBit()),
]
KERNEL = Parameter.of("kernel", (64, 64))
TABLE = Parameter.of("table", (64, 64), rows=True)


@samples.each(
    inner=INNER,
    kind=["heavy tailed", "sparse", "tiny"],
    dtype=["float32", "float64"],
)
def test_what_was_decoded_and_the_residual_add_up_to_the_inputs(
    inner: Codec, kind: str, dtype: str
) -> None:
    codec = ErrorFeedback(inner)
    state = codec.initial_state(samples.SHAPES)
    given = received = 0.0
    largest = 0.0
    for number in range(3):
        values = samples.tensors(kind, dtype)
        decoded, state = samples.step(codec, values, tf.constant([number, 0]), state)
        given, received = given + samples.flat(values), received + samples.flat(decoded)
        largest = max(largest, abs(given).max(), abs(received).max())
    np.testing.assert_allclose(received + state[0].numpy(), given, atol=1e-5 * largest)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_sent_but_not_kept(bad: float) -> None:
    value = samples.vector("normal", 1000)
    spoilt = value.copy()
    spoilt[[3, 500]] = bad
    codec = ErrorFeedback(TopK(0.001))
    [decoded], state = samples.step(codec, [spoilt])
    assert np.count_nonzero(~np.isfinite(decoded)) == 1
    kept = state[0].numpy()
    np.testing.assert_array_equal(kept[[3, 500]], 0)
    np.testing.assert_array_equal(np.delete(kept, [3, 500]), np.delete(value, [3, 500]))


def test_numbers_whose_squares_overflow_are_kept() -> None:
    value = np.float32([3e38, 1e30, -1e25])
    _, state = samples.step(ErrorFeedback(TopK(0.1)), [value])
    np.testing.assert_array_equal(state[0], [0, *value[1:]])


def test_the_state_holds_the_residual_and_that_of_the_codec() -> None:
    state = ErrorFeedback(PowerSGD(2)).initial_state([(40, 30), (7,)])
    assert [(kept.shape, kept.dtype) for kept in state] == [
        ((1207,), tf.float32),
        ((30, 2), tf.float32),
    ]


def test_around_identity_it_is_identity() -> None:
    assert ErrorFeedback(Identity()).for_parameter(KERNEL) == Identity()
    assert ErrorFeedback(Lossless(Identity())).for_parameter(KERNEL) == Lossless(Identity())


def test_rows_travel_without_feedback() -> None:
    assert ErrorFeedback(Int8()).for_parameter(TABLE) == Int8()
    assert ErrorFeedback(TopK(0.1)).for_parameter(TABLE) == Identity()


def test_compression_comes_after_feedback() -> None:
    chosen = ErrorFeedback(Lossless(OneBit())).for_parameter(KERNEL)
    assert chosen == Lossless(ErrorFeedback(OneBit()))


@pytest.mark.parametrize("outer", [ErrorFeedback, MomentumCorrection])
@pytest.mark.parametrize(
    "inner",
    [ErrorFeedback(OneBit()), MomentumCorrection(OneBit()), Lossless(ErrorFeedback(OneBit()))],
    ids=str,
)
def test_one_feedback_is_enough(
    outer: type[ErrorFeedback] | type[MomentumCorrection], inner: Codec
) -> None:
    with pytest.raises(ValueError, match="which itself keeps what it does not send"):
        outer(inner)


def test_what_is_scaled_up_is_refused() -> None:
    with pytest.raises(ValueError, match="Take unbiased=False"):
        ErrorFeedback(RandomK(0.1, unbiased=True))
