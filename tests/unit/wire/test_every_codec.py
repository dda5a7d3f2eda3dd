"""What holds for each codec."""

from __future__ import annotations

import itertools

import numpy as np
import tensorflow as tf

from tests.unit.wire import samples
from tfps import wire
from tfps.wire.codec import num_bytes

CODECS: list[wire.Codec] = [
    wire.Identity(),
    wire.Cast("bfloat16"),
    wire.Cast("float16"),
    wire.Int8(),
    wire.Int8(block=64, rounding="stochastic"),
    wire.OneBit(block=64),
    wire.TopK(0.01),
    wire.TopK(0.01, threshold="sampled"),
    wire.RandomK(0.01),
    wire.RandomK(0.01, unbiased=True),
    wire.PowerSGD(2),
    wire.Lossless(wire.Identity()),
    wire.Lossless(wire.Cast()),
    wire.Lossless(wire.TopK(0.01)),
    wire.Lossless(wire.ErrorFeedback(wire.TopK(0.01))),
    wire.ErrorFeedback(wire.Int8(block=64)),
    wire.ErrorFeedback(wire.OneBit(block=64)),
    wire.ErrorFeedback(wire.TopK(0.01)),
    wire.ErrorFeedback(wire.RandomK(0.01)),
    wire.ErrorFeedback(wire.PowerSGD(2)),
    wire.ErrorFeedback(wire.Lossless(wire.OneBit())),
    wire.MomentumCorrection(wire.Identity()),
    wire.MomentumCorrection(wire.TopK(0.01), clip_norm=1.0),
    wire.MomentumCorrection(wire.TopK(0.01, threshold="sampled"), nesterov=True),
]
# Those of vectors without state; PowerSGD has static shapes.
VECTORS = [
    c for c in CODECS if not c.initial_state([(64, 64)]) and not isinstance(c, wire.PowerSGD)
]


@samples.each(codec=CODECS, dtype=["float32", "float64"])
def test_shapes_and_dtypes_come_back(codec: wire.Codec, dtype: str) -> None:
    for kind in samples.KINDS if dtype == "float32" else ["normal"]:
        decoded = samples.through(codec, samples.tensors(kind, dtype))
        if kind != "huge":  # beyond float16, or in products beyond float32
            assert np.isfinite(samples.flat(decoded)).all(), kind


@samples.each(codec=CODECS)
def test_nothing_but_zeros_comes_of_zeros(codec: wire.Codec) -> None:
    decoded = samples.through(codec, samples.tensors("zeros"))
    assert not samples.flat(decoded).any()


@samples.each(codec=CODECS, shapes=[[(0,)], [(1,)], [(0, 4), (0,)], [(1, 1), (3,)]])
def test_hardly_any_elements_are_enough(codec: wire.Codec, shapes: list[tuple[int, ...]]) -> None:
    values = [np.ones(shape, "float32") for shape in shapes]
    assert np.isfinite(samples.flat(samples.through(codec, values))).all()


@samples.each(codec=CODECS)
def test_nan_and_infinities_are_never_silent_and_soon_forgotten(codec: wire.Codec) -> None:
    values = samples.tensors("heavy tailed")
    shapes = [value.shape for value in values]

    @tf.function
    def through(
        tensors: list[tf.Tensor], state: list[tf.Tensor]
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        encoded = codec.encode(tensors, seed=samples.SEED, state=state)
        return codec.decode(encoded.parts, shapes, tf.float32), list(encoded.state)

    places = [(0, 0), (0, 63), (0, 3333), (0, 6499), (1, 3), (3, 0), (3, 119), (4, 0)]
    for bad, (tensor, index) in itertools.product([np.nan, np.inf, -np.inf], places):
        spoilt = [value.copy() for value in values]
        spoilt[tensor].reshape(-1)[index] = bad
        decoded, state = through(spoilt, codec.initial_state(shapes))
        assert not np.isfinite(samples.flat([d.numpy() for d in decoded])).all(), (bad, index)
        decoded, _ = through(values, state)
        assert np.isfinite(samples.flat([d.numpy() for d in decoded])).all(), (bad, index)


@samples.each(codec=CODECS)
def test_more_nan_than_are_sent_are_no_less_loud(codec: wire.Codec) -> None:
    values = samples.tensors()
    values[0][:] = np.nan
    assert not np.isfinite(samples.flat(samples.through(codec, values))).all()


@samples.each(codec=VECTORS)
def test_lengths_may_show_only_when_it_runs(codec: wire.Codec) -> None:
    @tf.function(input_signature=[tf.TensorSpec([None, 8]), tf.TensorSpec([None])])
    def through(a: tf.Tensor, b: tf.Tensor) -> list[tf.Tensor]:
        parts = codec.encode([a, b], seed=samples.SEED).parts
        assert not isinstance(num_bytes(parts), int)
        return codec.decode(parts, [(tf.shape(a)[0], 8), (tf.shape(b)[0],)], tf.float32)

    for rows, size in [(0, 0), (1, 0), (0, 1), (3, 40), (8, 0), (1000, 77)]:
        values = [samples.vector("normal", rows * 8).reshape(rows, 8), samples.vector("tiny", size)]
        dynamic = [tensor.numpy() for tensor in through(*values)]
        static = samples.through(codec, values)
        assert [d.shape for d in dynamic] == [(rows, 8), (size,)]
        if "sampled" not in str(codec):
            np.testing.assert_array_equal(samples.flat(dynamic), samples.flat(static))


@samples.each(codec=CODECS)
def test_codecs_are_values(codec: wire.Codec) -> None:
    same = eval(repr(codec), vars(wire))
    assert (codec, hash(codec)) == (same, hash(same))
    assert CODECS.count(codec) == 1


@samples.each(codec=CODECS)
def test_pulls_and_rows_take_what_loses_no_whole_numbers(codec: wire.Codec) -> None:
    inner = codec.codec if isinstance(codec, wire.Lossless) else codec
    suits = isinstance(inner, wire.Identity | wire.Cast | wire.Int8)
    assert (codec.codes_pulls, codec.codes_rows) == (suits, suits)


@samples.each(codec=CODECS)
def test_protected_parameters_stay_as_they_are_but_for_momentum(codec: wire.Codec) -> None:
    chosen = codec.for_parameter(wire.Parameter.of("bias", (64,)))
    if isinstance(codec, wire.MomentumCorrection):
        assert chosen == wire.MomentumCorrection(
            wire.Identity(), nesterov=codec.nesterov, clip_norm=codec.clip_norm
        )
    else:
        assert chosen == wire.Identity()


@samples.each(codec=CODECS)
def test_rows_are_coded_without_state(codec: wire.Codec) -> None:
    chosen = codec.for_parameter(wire.Parameter.of("table", (1000, 64), rows=True))
    assert chosen.codes_rows
    assert not chosen.initial_state([(1000, 64)])
    if codec.codes_rows:
        assert chosen == codec
