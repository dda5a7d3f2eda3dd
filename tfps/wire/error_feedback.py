"""ErrorFeedback: the error of one step is added to the gradient of the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf
from typing_extensions import override

from tfps.wire.codec import (
    Codec,
    Encoded,
    Identity,
    Parameter,
    Shape,
    VectorCodec,
    length,
    num_elements,
    pack,
    shape_of,
    unpack,
)
from tfps.wire.lossless import Lossless
from tfps.wire.random_k import RandomK
from tfps.wire.vectors import finite_or_zero


@dataclasses.dataclass(frozen=True)
class Feedback(Codec):
    """Base class of codecs that keep what another codec did not send, on the sender.

    Nothing is kept for rows of tables, since these differ from step to step: the state would be as
    large as the table.

    Attributes:
        codec: the codec, or policy, with which values are sent.
    """

    codec: Codec

    def __post_init__(self) -> None:
        _check_inner(type(self).__name__, self.codec)

    @property
    @override
    def boundaries(self) -> tuple[int, ...]:
        return self.codec.boundaries

    @override
    def for_parameter(self, parameter: Parameter, step: int = 0) -> Codec:
        """Return this codec around the chosen one; for rows, the chosen one alone."""
        chosen = self.codec.for_parameter(parameter, step)
        return chosen if parameter.rows else self._around(chosen)

    @override
    def decode(
        self, parts: Sequence[tf.Tensor], shapes: Sequence[Shape], dtype: tf.DType
    ) -> list[tf.Tensor]:
        return self.codec.decode(parts, shapes, dtype)

    def _around(self, codec: Codec) -> Codec:
        if isinstance(codec, Lossless):
            # The result is the same, and the sender need not decompress what it sends.
            return dataclasses.replace(codec, codec=self._around(codec.codec))
        return dataclasses.replace(self, codec=codec)


@dataclasses.dataclass(frozen=True)
class ErrorFeedback(Feedback):
    """Adds the residual, which earlier steps did not send, to the tensors before it sends them.

    In each step, the sum of all decoded tensors plus the residual equals the sum of all tensors to
    be sent, up to rounding in float32: nothing is lost, but some of it arrives later. The later
    part acts like a stale gradient, so codecs that send little need a smaller learning rate.
    Optimizers that divide by a mean of past gradients, such as Adam, learn slowly if most of the
    first gradients are missing. Start with a codec that sends more:
    `ErrorFeedback(Warmup(((0, Int8()), (250, OneBit(128)))))`. Where the decoded tensors are not
    finite, the residual starts again at zero.

    The state is the residual of all tensors, a float32 vector, followed by the state of the codec.
    Parameters for which the codec is Identity need no residual and have none. Rows of tables have
    none either: they travel in the codec alone, if it codes rows, and uncoded if it does not.

    Seide et al., 1-Bit Stochastic Gradient Descent and its Application to Data-Parallel Distributed
    Training of Speech DNNs, 2014 (Interspeech, no arXiv number); Karimireddy et al., Error Feedback
    Fixes SignSGD and other Gradient Compression Schemes, 2019 (arXiv:1901.09847).

    Attributes:
        codec: the codec, or policy, with which values are sent.
    """

    @override
    def initial_state(self, shapes: Sequence[Sequence[int]]) -> list[tf.Tensor]:
        residual = tf.zeros([sum(num_elements(shape) for shape in shapes)])
        return [residual, *self.codec.initial_state(shapes)]

    @override
    def encode(
        self, tensors: Sequence[tf.Tensor], *, seed: tf.Tensor, state: Sequence[tf.Tensor] = ()
    ) -> Encoded:
        residual, *inner = state
        due = pack(tensors)
        due += tf.cast(residual, due.dtype)
        shapes = [shape_of(tensor) for tensor in tensors]
        sent, decoded = sent_and_decoded(self.codec, due, shapes, seed=seed, state=inner)
        residual = finite_or_zero(tf.cast(due - decoded, tf.float32))
        return Encoded(sent.parts, [residual, *sent.state])

    @override
    def _around(self, codec: Codec) -> Codec:
        return codec if codec == Identity() else super()._around(codec)


def sent_and_decoded(
    codec: Codec,
    vector: tf.Tensor,
    shapes: Sequence[Shape],
    *,
    seed: tf.Tensor,
    state: Sequence[tf.Tensor],
) -> tuple[Encoded, tf.Tensor]:
    """Encode a vector as tensors of these shapes; return the result, and the decoded vector."""
    if isinstance(codec, VectorCodec):
        # It encodes them as one vector anyway; unpacking would copy them.
        shapes = [[length(vector)]]
    encoded = codec.encode(unpack(vector, shapes), seed=seed, state=state)
    return encoded, pack(codec.decode(encoded.parts, shapes, vector.dtype))


def _check_inner(outer: str, codec: Codec) -> None:
    if isinstance(codec, Lossless):
        _check_inner(outer, codec.codec)
    if isinstance(codec, Feedback):
        raise ValueError(
            f"{outer}: codec is {codec!r}, which itself keeps what it does not send; of "
            "ErrorFeedback and MomentumCorrection take one."
        )
    if isinstance(codec, RandomK) and codec.unbiased:
        raise ValueError(
            f"{outer}: codec is {codec!r}; what it sends too much would grow from step to step. "
            "Take unbiased=False."
        )
