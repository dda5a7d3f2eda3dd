"""Initial values: the same numbers whatever the shards."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfps.params import initialize
from tfps.params.initialize import initial_value

SHAPE = (23, 4)
INITIALIZERS = [
    keras.initializers.RandomUniform(seed=1),
    keras.initializers.RandomNormal(seed=2),
    keras.initializers.TruncatedNormal(),
    keras.initializers.GlorotUniform(seed=3),
    keras.initializers.Zeros(),
    keras.initializers.Ones(),
    keras.initializers.Constant(3.0),
]


def in_shards(value: Callable[..., Any], shards: int) -> np.ndarray:
    cuts = np.linspace(0, SHAPE[0], shards + 1).astype(int)
    pieces = [
        value(partition_shape=(end - first, SHAPE[1]), partition_offset=(first, 0))
        for first, end in itertools.pairwise(cuts)
    ]
    return np.concatenate([piece.numpy() for piece in pieces])


@pytest.mark.parametrize("initializer", INITIALIZERS, ids=lambda i: type(i).__name__)
@pytest.mark.parametrize("shards", [1, 2, 5])
def test_shards_hold_what_plain_keras_makes(initializer: Any, shards: int) -> None:
    value = initial_value(initializer, SHAPE, "float32")
    whole = np.asarray(initializer(SHAPE, dtype="float32"))
    np.testing.assert_array_equal(value().numpy(), whole)
    np.testing.assert_array_equal(in_shards(value, shards), whole)


@pytest.fixture
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initialize, "WHOLE_BYTES", 1)
    monkeypatch.setattr(initialize, "BLOCK_BYTES", 3 * 4 * 4)  # blocks of 3 rows


@pytest.mark.usefixtures("everything_is_large")
@pytest.mark.parametrize("initializer", INITIALIZERS[:3], ids=lambda i: type(i).__name__)
def test_blocks_do_not_depend_on_the_shards(initializer: Any) -> None:
    value = initial_value(initializer, SHAPE, "float32")
    one = in_shards(value, 1)
    for shards in (2, 3, 7):
        np.testing.assert_array_equal(in_shards(value, shards), one)
    assert len(np.unique(one)) > 0.9 * one.size  # no two blocks are alike


@pytest.mark.usefixtures("everything_is_large")
def test_a_large_shard_is_made_without_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, ...]] = []
    original = keras.initializers.RandomUniform.__call__

    def recorded(self: Any, shape: Any, dtype: Any = None) -> Any:
        made.append(tuple(shape))
        return original(self, shape, dtype)

    monkeypatch.setattr(keras.initializers.RandomUniform, "__call__", recorded)
    value = initial_value(keras.initializers.RandomUniform(seed=1), SHAPE, "float32")
    value(partition_shape=(5, 4), partition_offset=(4, 0))
    assert made == [(3, 4), (3, 4)]


@pytest.mark.usefixtures("everything_is_large")
def test_what_can_only_be_made_whole_warns_with_what_to_do() -> None:
    value = initial_value(keras.initializers.Orthogonal(seed=1), SHAPE, "float32")
    with pytest.warns(UserWarning, match="can only make the whole value.*Use RandomUniform"):
        value(partition_shape=(3, 4), partition_offset=(0, 0))


def test_any_callable_and_dtype_will_do() -> None:
    value = initial_value(lambda shape, dtype: tf.ones(shape, dtype), SHAPE, "bfloat16")
    assert value().dtype == tf.bfloat16
