"""MomentumCorrection: momentum on the sender, for gradients that are sent sparsely."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf
from typing_extensions import override

from tfps.wire.codec import Codec, Encoded, num_elements, pack, shape_of
from tfps.wire.error_feedback import Feedback, sent_and_decoded
from tfps.wire.policy import Warmup
from tfps.wire.sparsifier import Sparsifier
from tfps.wire.top_k import TopK
from tfps.wire.vectors import finite_or_zero


@dataclasses.dataclass(frozen=True)
class MomentumCorrection(Feedback):
    """Accumulates velocities in place of gradients, and sends the accumulated ones by its codec.

    Let g be the gradient, u the velocity, and v the accumulated velocity, which has yet to be sent;
    u and v start at zero. In each step `u = momentum * u + g` and `v = v + u`. v is sent, and the
    decoded values are subtracted from it. With factor masking, u becomes zero where v was sent. The
    optimizer has to be SGD without momentum, since the momentum is applied here. It is exact if
    everything is sent and nothing is masked.

    Masking ends a velocity when its number is sent. If numbers are sent rarely, as in Deep Gradient
    Compression, little of the velocity is left by then. If a number is sent more often than every
    few times 1 / (1 - momentum) steps, it loses most of its momentum.

    Around a codec that sends all numbers, such as Identity, nothing is masked, so that parameters
    that travel uncoded still have momentum. Rows of tables, for which no state is kept, have none.
    If u or v is not finite, it is sent, and starts again at zero.

    The state is u and v of all tensors, float32 vectors, followed by the state of the codec.

    Lin et al., Deep Gradient Compression: Reducing the Communication Bandwidth for Distributed
    Training, 2018 (arXiv:1712.01887).

    Attributes:
        codec: the codec, or policy, with which values are sent.
        momentum: the momentum, at least 0 and below 1.
        nesterov: whether to use Nesterov momentum: `u = momentum * (u + g)`, `v = v + u + g`.
        factor_masking: whether u becomes zero where v was sent, so that stale momentum does not
            move the parameter further.
        clip_norm: the maximum norm of the gradients of a worker that travel together, above 0;
            they are scaled down to it first. With N workers the paper uses 1 / sqrt(N) of the norm
            for all. None does not clip. If the norm is not finite, all gradients become NaN.
    """

    momentum: float = 0.9
    nesterov: bool = False
    factor_masking: bool = True
    clip_norm: float | None = None

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.momentum < 1:
            raise ValueError(
                f"MomentumCorrection: momentum is {self.momentum!r}; it is at least 0 and below 1."
            )
        if self.clip_norm is not None and not 0 < self.clip_norm < float("inf"):
            raise ValueError(
                f"MomentumCorrection: clip_norm is {self.clip_norm!r}; it is a norm above 0, or "
                "None for none."
            )

    @override
    def initial_state(self, shapes: Sequence[Sequence[int]]) -> list[tf.Tensor]:
        zeros = tf.zeros([sum(num_elements(shape) for shape in shapes)])
        return [zeros, zeros, *self.codec.initial_state(shapes)]

    @override
    def encode(
        self, tensors: Sequence[tf.Tensor], *, seed: tf.Tensor, state: Sequence[tf.Tensor] = ()
    ) -> Encoded:
        gradient = self._clipped(pack(tensors))
        velocity, due = (tf.cast(kept, gradient.dtype) for kept in state[:2])
        if self.nesterov:
            velocity = self.momentum * (velocity + gradient)
            due += velocity + gradient
        else:
            velocity = self.momentum * velocity + gradient
            due += velocity
        shapes = [shape_of(tensor) for tensor in tensors]
        sent, decoded = sent_and_decoded(self.codec, due, shapes, seed=seed, state=state[2:])
        if self.factor_masking and isinstance(self.codec, Sparsifier):
            velocity = tf.where(decoded == 0, velocity, tf.zeros([], velocity.dtype))
        kept = [finite_or_zero(tf.cast(each, tf.float32)) for each in (velocity, due - decoded)]
        return Encoded(sent.parts, [*kept, *sent.state])

    def _clipped(self, gradient: tf.Tensor) -> tf.Tensor:
        if self.clip_norm is None:
            return gradient
        return tf.clip_by_global_norm([gradient], self.clip_norm)[0][0]


def deep_gradient_compression(
    fraction: float = 0.001,
    momentum: float = 0.9,
    *,
    clip_norm: float | None = None,
    nesterov: bool = False,
    warmup_steps: int = 0,
) -> MomentumCorrection:
    """Return Deep Gradient Compression: momentum, clipping and masking around a sampled TopK.

    The warm-up first sends 25 % of the numbers, and divides the share by 4 as long as it stays
    above `fraction`: for 0.1 % it sends 25, 6.25, 1.56 and 0.39 %, each for the same number of
    global steps. The paper takes 4 epochs of ImageNet for it. The optimizer has to be SGD without
    momentum.

    Lin et al., Deep Gradient Compression: Reducing the Communication Bandwidth for Distributed
    Training, 2018 (arXiv:1712.01887).

    Args:
        fraction: the share of the numbers that is sent after the warm-up.
        momentum: as in `MomentumCorrection`.
        clip_norm: as in `MomentumCorrection`.
        nesterov: as in `MomentumCorrection`.
        warmup_steps: the number of global steps of the warm-up; 0 for no warm-up.

    Raises:
        ValueError: if the warm-up has fewer steps than shares.
    """
    last = TopK(fraction, threshold="sampled")
    shares = _warmup_fractions(fraction)
    if not isinstance(warmup_steps, int) or 0 < warmup_steps < len(shares) or warmup_steps < 0:
        raise ValueError(
            f"deep_gradient_compression: warmup_steps is {warmup_steps!r}; it is 0, or one of the "
            f"numbers from {len(shares)}, a step for each of the fractions {shares}."
        )
    codec: Codec = last
    if warmup_steps and shares:
        stages = [dataclasses.replace(last, fraction=share) for share in shares]
        starts = [index * warmup_steps // len(shares) for index in range(len(shares) + 1)]
        codec = Warmup(tuple(zip(starts, [*stages, last], strict=True)))
    return MomentumCorrection(codec, momentum, nesterov=nesterov, clip_norm=clip_norm)


def _warmup_fractions(fraction: float) -> list[float]:
    shares = [0.25]
    while shares[-1] > fraction:
        shares.append(shares[-1] / 4)
    return shares[:-1]
