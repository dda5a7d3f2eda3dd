"""Vectors: in blocks with scales of their own; without NaN and infinities."""

from __future__ import annotations

import tensorflow as tf

from tfps.wire.codec import length


def all_finite(vector: tf.Tensor) -> tf.Tensor:
    """Return whether a vector holds neither NaN nor infinities: a boolean scalar."""
    # In one pass without a temporary. If the sum of squares is finite, all elements are. If it is
    # not, the elements may only be too large to be squared.
    return tf.cond(
        tf.math.is_finite(tf.nn.l2_loss(vector)),
        lambda: tf.constant(True),
        lambda: tf.reduce_all(tf.math.is_finite(vector)),
    )


def finite_or_zero(vector: tf.Tensor) -> tf.Tensor:
    """Return a vector with NaN and infinities replaced by zeros."""
    return tf.cond(
        all_finite(vector),
        lambda: vector,
        lambda: tf.where(tf.math.is_finite(vector), vector, tf.zeros([], vector.dtype)),
    )


def check_block(codec: str, block: int, multiple_of: int = 1) -> None:
    """Raise ValueError if `block` is not a valid length of a block."""
    if not isinstance(block, int) or block < 1 or block % multiple_of:
        allowed = "at least 1" if multiple_of == 1 else f"above 0 and a multiple of {multiple_of}"
        raise ValueError(f"{codec}: block is {block!r}; it is a number of elements, {allowed}.")


def in_blocks(vector: tf.Tensor, block: int) -> list[tf.Tensor]:
    """Cut a vector into matrices whose rows are the blocks, without copying.

    Returns:
        The whole blocks, of shape `(blocks, block)`, and the rest, of shape `(1, elements)`. If the
        size is static and there is no rest, only the first; if the size is not static, a rest that
        is empty has the shape `(0, 0)`.
    """
    size = length(vector)
    cut = size // block * block
    whole = tf.reshape(vector[:cut], [-1, block])
    if isinstance(size, int):
        return [whole, vector[None, cut:]] if size > cut else [whole]
    rest = size - cut
    return [whole, tf.reshape(vector[cut:], [tf.minimum(rest, 1), rest])]


def by_block(codes: tf.Tensor, block: int) -> tf.Tensor:
    """Return a vector in rows of `block` elements, the last one padded: `(blocks, block)`."""
    missing = -length(codes) % block
    if not isinstance(missing, int) or missing:
        codes = tf.pad(codes, [[0, missing]])
    return tf.reshape(codes, [-1, block])
