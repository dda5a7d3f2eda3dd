"""What a step returns travels as plain tensors, and comes back as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfps.training.outputs import Outputs

RAGGED = tf.ragged.constant([[1.0], [2.0, 3.0]])
SPARSE = tf.sparse.from_dense([[1.0, 0.0]])
RETURNED: dict[str, Any] = {
    "logs": {"loss": tf.constant(1.0), "none": None, "ragged": RAGGED, "sparse": SPARSE},
    "nested": {"a": {"b": [tf.constant(1), None, (RAGGED,)]}},
    "tuple": (tf.constant([True]), {"x": tf.constant("text")}),
    "tensor": tf.constant(2.0),
    "nothing": None,
}


@pytest.mark.parametrize("kind", list(RETURNED))
def test_what_a_step_returns_comes_back_from_plain_tensors(kind: str) -> None:
    outputs = Outputs(lambda batch: RETURNED[kind])
    plain = outputs(None)
    assert all(type(leaf) is type(tf.constant(0)) for leaf in tf.nest.flatten(plain))
    if kind == "logs":
        assert set(plain) == set(RETURNED[kind])
    restored = outputs.restored(tf.nest.map_structure(tf.identity, plain))
    tf.nest.assert_same_structure(restored, RETURNED[kind], expand_composites=True)
    flat = [tf.nest.flatten(v, expand_composites=True) for v in (restored, RETURNED[kind])]
    for value, expected in zip(*flat, strict=True):
        np.testing.assert_array_equal(value, expected)
