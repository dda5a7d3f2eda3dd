"""PowerSGD: matrices as products of two thin matrices."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf
from typing_extensions import override

from tfps.wire.codec import Codec, Encoded, Shape, num_elements, pack, unpack


@dataclasses.dataclass(frozen=True)
class PowerSGD(Codec):
    """Sends a matrix M as two thin matrices P and Q; it decodes to `P transpose(Q)`.

    A tensor with two or more axes is treated as a matrix `(rows, columns)` whose columns are the
    last axis. Each step makes one power iteration, starting from the Q of the step before: P is an
    orthonormal basis of `M Q`, and the new Q is `transpose(M) P`. This projects M onto `rank`
    directions. The squared error is `|M|^2 - |Q|^2`, up to rounding. If M stays the same, the error
    falls from step to step to that of the best approximation of this rank.

    The error of a single step is large: use it inside `ErrorFeedback`.

    `rank * (rows + columns)` numbers of the tensor's dtype travel for a matrix; tensors that have
    no more numbers than that travel uncoded. A matrix with a NaN or an infinity, or with products
    beyond the range of the dtype, decodes to a matrix that is not finite, and the next step starts
    from a new Q. Shapes have to be static.

    Vogels et al., PowerSGD: Practical Low-Rank Gradient Compression for Distributed Optimization,
    2019 (arXiv:1905.13727).

    Attributes:
        rank: the number of columns of P and of Q.
    """

    rank: int = 4

    def __post_init__(self) -> None:
        if not isinstance(self.rank, int) or self.rank < 1:
            raise ValueError(
                f"PowerSGD: rank is {self.rank!r}; it is the number of columns that a matrix is "
                "sent in, at least 1."
            )

    @override
    def initial_state(self, shapes: Sequence[Sequence[int]]) -> list[tf.Tensor]:
        matrices = [self._matrix(shape) for shape in shapes]
        return [
            self._initial(columns, index)
            for index, (_, columns) in enumerate(matrix for matrix in matrices if matrix)
        ]

    @override
    def encode(
        self, tensors: Sequence[tf.Tensor], *, seed: tf.Tensor, state: Sequence[tf.Tensor] = ()
    ) -> Encoded:
        del seed
        pieces: list[tf.Tensor] = []
        kept: list[tf.Tensor] = []
        for tensor in tensors:
            matrix = self._matrix(tensor.shape)
            if matrix is None:
                pieces.append(tensor)
                continue
            p, q = _iterated(tf.reshape(tensor, matrix), tf.cast(state[len(kept)], tensor.dtype))
            pieces += [p, q]
            kept.append(self._next(q, len(kept)))
        return Encoded([pack(pieces)], kept)

    @override
    def decode(
        self, parts: Sequence[tf.Tensor], shapes: Sequence[Shape], dtype: tf.DType
    ) -> list[tf.Tensor]:
        sent: list[Shape] = []
        for shape in shapes:
            matrix = self._matrix(shape)
            sent += [[size, self.rank] for size in matrix] if matrix else [shape]
        pieces = iter(unpack(parts[0], sent))
        return [
            tf.reshape(tf.matmul(next(pieces), next(pieces), transpose_b=True), shape)
            if self._matrix(shape)
            else next(pieces)
            for shape in shapes
        ]

    def _matrix(self, shape: Shape) -> tuple[int, int] | None:
        """Return the rows and columns of a tensor that is sent as P and Q; None if it is not."""
        if len(shape) < 2:
            return None
        columns = shape[-1]
        rows = num_elements(shape[:-1]) if None not in shape else None
        if not isinstance(rows, int) or not isinstance(columns, int):
            raise ValueError(f"PowerSGD: a tensor has the shape {shape}; it has to be static.")
        return (rows, columns) if self.rank * (rows + columns) < rows * columns else None

    def _initial(self, columns: int, index: int) -> tf.Tensor:
        return tf.random.stateless_normal([columns, self.rank], [columns, index])

    def _next(self, q: tf.Tensor, index: int) -> tf.Tensor:
        """Return the Q with which the next step starts."""
        q = tf.cast(_scaled(q), tf.float32)
        usable = tf.reduce_all(tf.math.is_finite(q)) & tf.reduce_any(q != 0)
        return tf.where(usable, q, self._initial(q.shape[0], index))


def _iterated(matrix: tf.Tensor, q: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return P and Q after one power iteration."""
    p, _ = tf.linalg.qr(_scaled(tf.matmul(matrix, q)))
    return p, tf.matmul(matrix, p, transpose_a=True)


def _scaled(matrix: tf.Tensor) -> tf.Tensor:
    """Scale a matrix so that its squares neither underflow nor overflow."""
    return tf.math.divide_no_nan(matrix, tf.reduce_max(tf.abs(matrix)))
