"""Lossless: exact, counted, and where it pays."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tests.unit.wire import samples
from tfps.wire import (
    Cast,
    Codec,
    ErrorFeedback,
    Identity,
    Int8,
    Lossless,
    OneBit,
    Parameter,
    PowerSGD,
    RandomK,
    TopK,
)
from tfps.wire.codec import num_bytes

INNER: list[Codec] = [
    Identity(),
    Cast(),
    Cast("float16"),
    Int8(),
    OneBit(),
    TopK(0.01),
    TopK(0.01, threshold="sampled"),
    RandomK(0.01),
    PowerSGD(2),
    ErrorFeedback(OneBit()),
    Lossless(Int8()),
]


@samples.each(inner=INNER, kind=["normal", "sparse", "zeros"], dtype=["float32", "float64"])
def test_nothing_changes(inner: Codec, kind: str, dtype: str) -> None:
    values = samples.tensors(kind, dtype)
    plain, state = samples.step(inner, values)
    packed, state_of_packed = samples.step(Lossless(inner), values)
    np.testing.assert_array_equal(samples.flat(packed), samples.flat(plain))
    for kept, expected in zip(state_of_packed, state, strict=True):
        np.testing.assert_array_equal(kept, expected)


def _ratio(codec: Codec, value: np.ndarray) -> float:
    sizes = [
        int(num_bytes(each.encode([tf.constant(value)], seed=samples.SEED).parts))
        for each in (Lossless(codec), codec)
    ]
    return sizes[0] / sizes[1]


def test_it_pays_where_bytes_repeat() -> None:
    normal = samples.vector("normal", 100_000)
    assert _ratio(Identity(), np.zeros_like(normal)) < 0.05
    assert _ratio(Identity(), samples.vector("sparse", 100_000)) < 0.1
    assert _ratio(Int8(), normal**5) < 0.6


@samples.each(codec=[Identity(), Cast(), Int8(), OneBit(), TopK(0.01)])
def test_it_does_not_pay_for_normals(codec: Codec) -> None:
    assert 0.99 < _ratio(codec, samples.vector("normal", 100_000)) < 1.02


def test_what_a_codec_leaves_alone_is_not_compressed() -> None:
    bias = Parameter.of("bias", (64,))
    kernel = Parameter.of("kernel", (64, 64))
    table = Parameter.of("table", (64, 64), rows=True)
    assert Lossless(Int8()).for_parameter(bias) == Identity()
    assert Lossless(Int8()).for_parameter(kernel) == Lossless(Int8())
    assert Lossless(Int8()).for_parameter(table) == Lossless(Int8())
    assert Lossless(TopK(0.1)).for_parameter(table) == Identity()
    assert Lossless(Identity()).for_parameter(bias) == Identity()
    assert Lossless(Identity()).for_parameter(kernel) == Lossless(Identity())
