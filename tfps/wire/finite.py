"""NaN and infinities: found, or left out, in one pass without temporaries while there are none."""

from __future__ import annotations

import tensorflow as tf


def all_finite(vector: tf.Tensor) -> tf.Tensor:
    """Return whether a vector holds neither NaN nor infinities: a boolean scalar."""
    # A sum of squares that is finite proves it. One that is not may only be too large.
    return tf.cond(
        tf.math.is_finite(tf.nn.l2_loss(vector)),
        lambda: tf.constant(True),
        lambda: tf.reduce_all(tf.math.is_finite(vector)),
    )


def finite_or_zero(vector: tf.Tensor) -> tf.Tensor:
    """Return a vector with zeros for NaN and infinities."""
    return tf.cond(
        all_finite(vector),
        lambda: vector,
        lambda: tf.where(tf.math.is_finite(vector), vector, tf.zeros([], vector.dtype)),
    )
