"""PowerSGD: projections of matrices, and what its iterations lead to."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.unit.wire import samples
from tfps.wire import PowerSGD
from tfps.wire.codec import num_bytes

SHAPES = [(40, 30), (3, 4, 5, 20), (7,), (3, 3)]


def _values(kind: str, dtype: str = "float32") -> list[np.ndarray]:
    sizes = [int(np.prod(shape)) for shape in SHAPES]
    flat = [samples.vector(kind, size, dtype) for size in sizes]
    return [value.reshape(shape) for value, shape in zip(flat, SHAPES, strict=True)]


def _squares(value: np.ndarray) -> float:
    return float((value.astype("float64") ** 2).sum())


@pytest.mark.parametrize("kind", ["normal", "heavy tailed", "sparse", "tiny", "constant", "zeros"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_matrix_is_projected(kind: str, dtype: str) -> None:
    values = _values(kind, dtype)
    decoded = samples.through(PowerSGD(2), values)
    for value, projected in zip(values[:2], decoded[:2], strict=True):
        left = _squares(value) - _squares(projected)
        assert _squares(value - projected) == pytest.approx(
            left, rel=1e-3, abs=1e-5 * _squares(value)
        )
        assert left >= -1e-5 * _squares(value)
        assert np.linalg.matrix_rank(projected.reshape(-1, projected.shape[-1]), rtol=1e-4) <= 2


def test_what_would_not_be_smaller_stays_as_it_is() -> None:
    values = _values("normal")
    decoded = samples.through(PowerSGD(2), values)
    np.testing.assert_array_equal(decoded[2], values[2])
    np.testing.assert_array_equal(decoded[3], values[3])


@pytest.mark.parametrize("scale", [1e-18, 1.0, 1e15])
def test_matrices_of_low_rank_are_exact(scale: float) -> None:
    left, right = samples.vector("normal", 80), samples.vector("normal", 60)
    value = left.reshape(40, 2) @ right.reshape(2, 30) * np.float32(scale)
    for rank in (2, 3):
        codec = PowerSGD(rank)
        [initial] = codec.initial_state([value.shape])
        first, second, *_ = np.linalg.svd(value.astype("float64") @ initial, compute_uv=False)
        [decoded] = samples.through(codec, [value])
        # What rounding there is grows with the condition number of what is made orthogonal.
        np.testing.assert_allclose(decoded, value, atol=2e-6 * first / second * abs(value).max())


def test_iterations_lead_to_the_best_matrix_of_the_rank() -> None:
    codec = PowerSGD(3)
    orthogonal = [np.linalg.qr(samples.vector("normal", 900).reshape(30, 30))[0] for _ in "uv"]
    singular = 0.7 ** np.arange(30)
    value = (orthogonal[0] * singular @ orthogonal[1]).astype("float32")
    state = codec.initial_state([value.shape])
    errors = []
    for _ in range(15):
        [decoded], state = samples.step(codec, [value], state=state)
        errors.append(_squares(value - decoded))
    assert errors[0] > 1.05 * errors[-1]
    assert errors[-1] == pytest.approx((singular[3:] ** 2).sum(), rel=1e-3)


def test_zeros_or_nan_do_not_spoil_the_next_step() -> None:
    codec = PowerSGD(2)
    values = _values("normal")
    for spoilt in (np.zeros((40, 30), "float32"), np.full((40, 30), np.inf, "float32")):
        _, state = samples.step(codec, [spoilt, *values[1:]])
        assert np.isfinite(samples.flat([kept.numpy() for kept in state])).all()
        decoded, _ = samples.step(codec, values, state=state)
        assert _squares(values[0] - decoded[0]) < 0.95 * _squares(values[0])


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_thin_matrices_travel(dtype: tf.DType) -> None:
    codec = PowerSGD(2)
    tensors = [tf.zeros(shape, dtype) for shape in SHAPES]
    encoded = codec.encode(tensors, seed=samples.SEED, state=codec.initial_state(SHAPES))
    assert [part.dtype for part in encoded.parts] == [dtype]
    assert num_bytes(encoded.parts) == (2 * (40 + 30) + 2 * (60 + 20) + 7 + 9) * dtype.size
    assert [kept.shape for kept in encoded.state] == [(30, 2), (20, 2)]


def test_shapes_have_to_be_static() -> None:
    with pytest.raises(ValueError, match="has to be static"):
        tf.function(
            lambda x: PowerSGD().encode([x], seed=samples.SEED).parts
        ).get_concrete_function(tf.TensorSpec([None, 4]))


@pytest.mark.parametrize("rank", [0, 1.5])
def test_a_rank_is_at_least_1(rank: int) -> None:
    with pytest.raises(ValueError, match=rf"PowerSGD: rank is {rank}; .* at least 1"):
        PowerSGD(rank)
