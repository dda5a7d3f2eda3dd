"""Vectors in blocks, each of which has scales of its own."""

from __future__ import annotations

import tensorflow as tf

from tfps.wire.codec import length


def check_block(codec: str, block: int, multiple_of: int = 1) -> None:
    """Refuse lengths of a block that cannot be."""
    if not isinstance(block, int) or block < 1 or block % multiple_of:
        allowed = "at least 1" if multiple_of == 1 else f"above 0 and a multiple of {multiple_of}"
        raise ValueError(f"{codec}: block is {block!r}; it is a number of elements, {allowed}.")


def in_blocks(vector: tf.Tensor, block: int) -> list[tf.Tensor]:
    """Cut a vector into matrices, whose rows are the blocks; nothing is copied.

    Returns:
        The whole blocks, `(blocks, block)`, and what is left, `(1, elements)`; where nothing is
        left only the first, or a second of shape `(0, 0)` if that shows only when it runs.
    """
    size = length(vector)
    cut = size // block * block
    whole = tf.reshape(vector[:cut], [-1, block])
    if isinstance(size, int):
        return [whole, vector[None, cut:]] if size > cut else [whole]
    left = size - cut
    return [whole, tf.reshape(vector[cut:], [tf.minimum(left, 1), left])]


def by_block(codes: tf.Tensor, block: int) -> tf.Tensor:
    """Return codes in rows of `block`, the last of them filled up: `(blocks, block)`."""
    missing = -length(codes) % block
    if not isinstance(missing, int) or missing:
        codes = tf.pad(codes, [[0, missing]])
    return tf.reshape(codes, [-1, block])
