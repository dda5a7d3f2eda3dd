"""MomentumCorrection: the momentum of SGD, sparsely sent; Deep Gradient Compression."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.unit.wire import samples
from tfps.wire import (
    Codec,
    Identity,
    Int8,
    Lossless,
    MomentumCorrection,
    Parameter,
    RandomK,
    TopK,
    Warmup,
    deep_gradient_compression,
)

KERNEL = Parameter.of("kernel", (64, 64))


def _gradients(steps: int, size: int = 20) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.normal(size=size).astype("float32") for _ in range(steps)]


@pytest.mark.parametrize("nesterov", [False, True])
def test_where_all_is_sent_sgd_takes_the_steps_of_sgd_with_momentum(nesterov: bool) -> None:
    codec = MomentumCorrection(Identity(), 0.8, nesterov=nesterov)
    variables = [keras.Variable(np.ones(20, "float32")) for _ in range(2)]
    plain, with_momentum = keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1, 0.8, nesterov)
    state = codec.initial_state([(20,)])
    for gradient in _gradients(10):
        [decoded], state = samples.step(codec, [gradient], state=state)
        plain.apply([tf.constant(decoded)], [variables[0]])
        with_momentum.apply([tf.constant(gradient)], [variables[1]])
    np.testing.assert_allclose(variables[0], variables[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("inner", [TopK(0.1), RandomK(0.1), Int8(block=8)], ids=str)
@pytest.mark.parametrize("nesterov", [False, True])
def test_without_masking_all_velocities_arrive_in_the_end(inner: Codec, nesterov: bool) -> None:
    codec = MomentumCorrection(inner, 0.8, nesterov=nesterov, factor_masking=False)
    velocity = due = received = np.zeros(20)
    state = codec.initial_state([(20,)])
    for number, gradient in enumerate(_gradients(10)):
        [decoded], state = samples.step(codec, [gradient], tf.constant([number, 0]), state)
        velocity = 0.8 * velocity + gradient
        due = due + (0.8 * velocity + gradient if nesterov else velocity)
        received = received + decoded
    np.testing.assert_allclose(received + state[1].numpy(), due, rtol=1e-4, atol=1e-4)


def test_velocity_and_what_is_due_become_zero_where_it_was_sent() -> None:
    codec = MomentumCorrection(TopK(0.25), 0.5)
    state = codec.initial_state([(4,)])
    [decoded], state = samples.step(codec, [np.float32([1, 2, -8, 4])], state=state)
    np.testing.assert_array_equal(decoded, [0, 0, -8, 0])
    np.testing.assert_array_equal(state, [[1, 2, 0, 4], [1, 2, 0, 4]])
    [decoded], state = samples.step(codec, [np.float32([1, 1, 1, 1])], state=state)
    np.testing.assert_array_equal(decoded, [0, 0, 0, 7])
    np.testing.assert_array_equal(state, [[1.5, 2, 1, 0], [2.5, 4, 1, 0]])


def test_a_codec_that_sends_all_numbers_keeps_the_velocity() -> None:
    codec = MomentumCorrection(Int8(), 0.5)
    _, state = samples.step(codec, [np.float32([1, 2, -8, 4])])
    np.testing.assert_array_equal(state[0], [1, 2, -8, 4])
    np.testing.assert_allclose(state[1], [0] * 4, atol=8 / 253)


def test_gradients_are_clipped_before_they_are_added_up() -> None:
    codec = MomentumCorrection(Identity(), 0.5, clip_norm=1.0)
    decoded, state = samples.step(codec, [np.float32([3]), np.float32([[4]])])
    np.testing.assert_allclose(samples.flat(decoded), [0.6, 0.8], rtol=1e-6)
    decoded, _ = samples.step(codec, [np.float32([0.1]), np.float32([[0]])], state=state)
    np.testing.assert_allclose(samples.flat(decoded), [0.4, 0.4], rtol=1e-6)


def test_what_is_not_finite_begins_again_at_zero() -> None:
    codec = MomentumCorrection(TopK(0.25), 0.5)
    [decoded], state = samples.step(codec, [np.float32([1, np.nan, -np.inf, 4])])
    assert np.isnan(decoded[1])
    np.testing.assert_array_equal(state, [[1, 0, 0, 4], [1, 0, 0, 4]])


def test_what_stays_as_it_is_has_momentum_but_rows_have_none() -> None:
    codec = MomentumCorrection(Lossless(TopK(0.1)), 0.7)
    assert codec.for_parameter(Parameter.of("bias", (9,))) == MomentumCorrection(Identity(), 0.7)
    assert codec.for_parameter(KERNEL) == Lossless(MomentumCorrection(TopK(0.1), 0.7))
    assert codec.for_parameter(Parameter.of("table", (64, 64), rows=True)) == Identity()


def test_deep_gradient_compression_warms_up_to_its_fraction() -> None:
    codec = deep_gradient_compression(0.001, 0.8, clip_norm=2.0, warmup_steps=400)
    assert codec.boundaries == (100, 200, 300, 400)
    chosen = [codec.for_parameter(KERNEL, step) for step in (0, 99, 100, 200, 399, 400, 9999)]
    fractions = [0.25, 0.25, 0.0625, 0.015625, 0.00390625, 0.001, 0.001]
    assert chosen == [
        MomentumCorrection(TopK(fraction, "sampled"), 0.8, clip_norm=2.0) for fraction in fractions
    ]
    # So the state of one goes on in the next.
    assert {str(c.initial_state([(64, 64)])) for c in chosen} == {
        str(codec.for_parameter(KERNEL).initial_state([(64, 64)]))
    }


@pytest.mark.parametrize(
    ("fraction", "steps", "starts"),
    [(0.01, 0, []), (0.01, 3, [0, 1, 2, 3]), (0.25, 9, []), (0.24, 9, [0, 9]), (0.9, 5, [])],
)
def test_a_warm_up_has_as_many_stages_as_it_needs(
    fraction: float, steps: int, starts: list[int]
) -> None:
    inner = deep_gradient_compression(fraction, warmup_steps=steps).codec
    found = [start for start, _ in inner.stages] if isinstance(inner, Warmup) else []
    assert found == starts


@pytest.mark.parametrize("steps", [-1, 3, 1.5])
def test_a_warm_up_has_a_step_for_each_stage(steps: int) -> None:
    with pytest.raises(ValueError, match=rf"warmup_steps is {steps}; it is 0, or .* from 4"):
        deep_gradient_compression(warmup_steps=steps)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"momentum": 1.0}, "momentum is 1.0; it is at least 0 and below 1"),
        ({"momentum": -0.1}, "momentum is -0.1"),
        ({"clip_norm": 0.0}, "clip_norm is 0.0; it is a norm above 0, or None"),
        ({"clip_norm": float("nan")}, "clip_norm is nan"),
    ],
)
def test_values_that_cannot_be_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MomentumCorrection(TopK(0.1), **arguments)
