"""Several tensors as one, so that they travel in one message."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import tensorflow as tf


def pack(tensors: Iterable[tf.Tensor]) -> tf.Tensor:
    """Concatenate tensors of one dtype and any shapes into one of shape `(elements,)`."""
    flat = [tf.reshape(tensor, [-1]) for tensor in tensors]
    return flat[0] if len(flat) == 1 else tf.concat(flat, axis=0)


def unpack(packed: tf.Tensor, shapes: Sequence[Sequence[int]]) -> list[tf.Tensor]:
    """Return the tensors of the given static shapes that `pack` made `packed` of."""
    sizes = [math.prod(shape) for shape in shapes]
    pieces = [packed] if len(sizes) == 1 else tf.split(packed, sizes)
    return [tf.reshape(piece, shape) for piece, shape in zip(pieces, shapes, strict=True)]


def unpack_rows(
    packed: tf.Tensor, rows: tf.Tensor, widths: Sequence[Sequence[int]]
) -> list[tf.Tensor]:
    """Return tensors of which only the number of rows is not static.

    Args:
        packed: what `pack` made of them, of shape `(elements,)`.
        rows: how many rows each has, int32, of shape `(len(widths),)`.
        widths: the static shape of a row of each.
    """
    if len(widths) == 1:
        return [tf.reshape(packed, [-1, *widths[0]])]
    sizes = rows * tf.constant([math.prod(width) for width in widths], tf.int32)
    pieces = tf.split(packed, sizes, num=len(widths))
    return [tf.reshape(piece, [-1, *width]) for piece, width in zip(pieces, widths, strict=True)]
