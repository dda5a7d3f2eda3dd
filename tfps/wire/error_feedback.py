"""ErrorFeedback: what was not sent is added to what is sent next."""

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
from tfps.wire.finite import finite_or_zero
from tfps.wire.lossless import Lossless
from tfps.wire.random_k import RandomK


@dataclasses.dataclass(frozen=True)
class Feedback(Codec):
    """A codec that keeps on the sender what another one did not send.

    The rows of tables get none of it: every step has others, and what all of them were to keep
    would be as large as the table.

    Attributes:
        codec: the codec or policy of what is sent.
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
        """Return this codec around the chosen one, or for rows the chosen one alone."""
        chosen = self.codec.for_parameter(parameter, step)
        return chosen if parameter.rows else self._around(chosen)

    @override
    def decode(
        self, parts: Sequence[tf.Tensor], shapes: Sequence[Shape], dtype: tf.DType
    ) -> list[tf.Tensor]:
        return self.codec.decode(parts, shapes, dtype)

    def _around(self, codec: Codec) -> Codec:
        if isinstance(codec, Lossless):
            # The same numbers, and the sender need not uncompress what it sends.
            return dataclasses.replace(codec, codec=self._around(codec.codec))
        return dataclasses.replace(self, codec=codec)


@dataclasses.dataclass(frozen=True)
class ErrorFeedback(Feedback):
    """Sends tensors plus the residual, which is what the steps before did not send.

    At each step all that was decoded, plus the residual, equals all that was to be sent, but for
    float32's rounding: nothing is lost, only late. What is late acts like an old gradient, so
    codecs that send little want a smaller learning rate. Optimizers that divide by a mean of the
    last gradients (Adam) learn slowly from the start where most of these are missing: begin with a
    codec that sends more, `ErrorFeedback(Warmup(((0, Int8()), (250, OneBit(128)))))`. Where a NaN
    or an infinity is sent, the residual begins again at zero.

    The state is the residual of all tensors, a float32 vector, then the state of the codec. Around
    Identity there is none: `for_parameter` gives Identity. The rows of tables get none either: they
    travel in the codec alone if it codes rows, else as they are.

    Seide et al., 1-Bit Stochastic Gradient Descent and its Application to Data-Parallel Distributed
    Training of Speech DNNs, 2014 (Interspeech, no arXiv number); Karimireddy et al., Error Feedback
    Fixes SignSGD and other Gradient Compression Schemes, 2019 (arXiv:1901.09847).

    Attributes:
        codec: the codec or policy of what is sent.
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
    """Encode a vector as tensors of some shapes; return that, and the vector that it decodes to."""
    if isinstance(codec, VectorCodec):
        # To it they are one vector anyway: unpacking would copy them.
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
