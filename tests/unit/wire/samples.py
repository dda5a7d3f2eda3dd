"""Numbers of several kinds, and their way through a codec."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfps.wire import Codec

SHAPES: list[tuple[int, ...]] = [(130, 50), (7,), (0, 3), (3, 2, 5, 4), ()]
LENGTHS = [0, 1, 7, 64, 65, 1000]
SEED = tf.constant([3, 4])

_random = np.random.default_rng(0)
KINDS: dict[str, Callable[[int], np.ndarray]] = {
    "normal": lambda n: _random.normal(size=n),
    "heavy tailed": lambda n: _random.standard_t(1.5, size=n),
    "sparse": lambda n: np.where(_random.random(n) < 0.01, _random.normal(size=n), 0.0),
    "tiny": lambda n: _random.normal(size=n) * 1e-30,
    "huge": lambda n: _random.normal(size=n) * 1e30,
    "zeros": np.zeros,
    "constant": lambda n: np.full(n, -0.3),
}


def begin_anew() -> None:
    """Draw from here on what is drawn first."""
    _random.bit_generator.state = np.random.default_rng(0).bit_generator.state


def vector(kind: str, size: int, dtype: str = "float32") -> np.ndarray:
    """Draw a vector of one kind."""
    return KINDS[kind](size).astype(dtype)


def tensors(kind: str = "normal", dtype: str = "float32") -> list[np.ndarray]:
    """Draw tensors of `SHAPES`."""
    return [KINDS[kind](int(np.prod(shape))).reshape(shape).astype(dtype) for shape in SHAPES]


def through(
    codec: Codec,
    values: Sequence[np.ndarray],
    seed: tf.Tensor = SEED,
    state: Sequence[tf.Tensor] | None = None,
) -> list[np.ndarray]:
    """Encode and decode; by default with the state that a sender begins with."""
    return step(codec, values, seed, state)[0]


def step(
    codec: Codec,
    values: Sequence[np.ndarray],
    seed: tf.Tensor = SEED,
    state: Sequence[tf.Tensor] | None = None,
) -> tuple[list[np.ndarray], Sequence[tf.Tensor]]:
    """Encode and decode; return the state for the next step as well."""
    shapes = [value.shape for value in values]
    state = codec.initial_state(shapes) if state is None else state
    sent = [tf.constant(value) for value in values]
    encoded = codec.encode(sent, seed=seed, state=state)
    decoded = codec.decode(encoded.parts, shapes, sent[0].dtype)
    assert [(t.shape, t.dtype) for t in decoded] == [(t.shape, t.dtype) for t in sent]
    return [tensor.numpy() for tensor in decoded], encoded.state


def repeatedly(codec: Codec, value: np.ndarray, rounds: int) -> np.ndarray:
    """Encode and decode a vector with `rounds` seeds; return all results, `(rounds, size)`."""

    @tf.function
    def once(number: tf.Tensor) -> tf.Tensor:
        parts = codec.encode([tf.constant(value)], seed=tf.stack([number, 7])).parts
        return codec.decode(parts, [value.shape], tf.float32)[0]

    everything: np.ndarray = tf.map_fn(
        once, tf.range(rounds), fn_output_signature=tf.TensorSpec(value.shape)
    ).numpy()
    return everything


def flat(values: Sequence[np.ndarray]) -> np.ndarray:
    """Return all numbers of some tensors as one float64 vector."""
    return np.concatenate([value.reshape(-1).astype("float64") for value in values])


def each(**values: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """Return a decorator: one test that runs a check with every combination of arguments.

    Each run begins with the same samples. An error names the arguments.
    """

    def as_test(check: Callable[..., None]) -> Callable[[], None]:
        def test() -> None:
            for combination in itertools.product(*values.values()):
                arguments = dict(zip(values, combination, strict=True))
                begin_anew()
                try:
                    check(**arguments)
                except Exception as error:
                    error.add_note(f"with {arguments}")
                    raise

        test.__name__, test.__qualname__ = check.__name__, check.__qualname__
        return test

    return as_test
