"""MomentumCorrection: momentum on the sender, for gradients that travel sparsely."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf
from typing_extensions import override

from tfps.wire.codec import Codec, Encoded, num_elements, pack, shape_of
from tfps.wire.error_feedback import Feedback, sent_and_decoded
from tfps.wire.finite import finite_or_zero
from tfps.wire.policy import Warmup
from tfps.wire.sparsifier import Sparsifier
from tfps.wire.top_k import TopK


@dataclasses.dataclass(frozen=True)
class MomentumCorrection(Feedback):
    """Adds up the velocities of the gradients, and sends of the sum what its codec sends.

    With gradient g, velocity u and what is due v, both zero at first: `u = momentum * u + g` and
    `v = v + u`. What is decoded of v is subtracted from it, and with factor masking u becomes zero
    where it was sent. The optimizer on the ps has to be SGD without momentum: this is the momentum,
    and it is exact if all is sent and nothing masked.

    Masking ends each velocity when its number is sent. Where numbers are sent rarely, as in Deep
    Gradient Compression, little of it is left by then; sent more often than every few times
    1 / (1 - momentum) steps, they lose most of their momentum.

    Around a codec that sends all numbers, such as Identity, nothing is masked. So a parameter that
    stays as it is still has its momentum; the rows of tables, which are sent without state, have
    none. Where a velocity or what is due is not finite, it is sent, and begins again at zero.

    The state is u and v of all tensors, float32 vectors, then the state of the codec.

    Lin et al., Deep Gradient Compression: Reducing the Communication Bandwidth for Distributed
    Training, 2018 (arXiv:1712.01887).

    Attributes:
        codec: the codec or policy of what is sent.
        momentum: at least 0 and below 1.
        nesterov: whether to look ahead: `u = momentum * (u + g)` and `v = v + u + g`.
        factor_masking: whether u becomes zero where v was sent, so that what is old by then does
            not move the parameter further.
        clip_norm: the norm to which gradients are scaled down first, above 0: that of all tensors
            that travel together, on one worker. Of N workers the paper gives each 1 / sqrt(N) of
            the norm for all. None does not clip. If the norm is not finite, all become NaN.
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

    In the warm-up 25 % of the numbers are sent, then 6.25 %, and each time a quarter of what was,
    as long as that is above the fraction: 25, 6.25, 1.56 and 0.39 % for 0.1 %, each for the same
    number of global steps; on ImageNet the paper takes 4 epochs for it. The optimizer on the ps has
    to be SGD without momentum.

    Lin et al., Deep Gradient Compression: Reducing the Communication Bandwidth for Distributed
    Training, 2018 (arXiv:1712.01887).

    Args:
        fraction: the share of the numbers that is sent after the warm-up.
        momentum: as in `MomentumCorrection`.
        clip_norm: as in `MomentumCorrection`.
        nesterov: as in `MomentumCorrection`.
        warmup_steps: the global steps of the warm-up; 0 for none.

    Raises:
        ValueError: if there are fewer steps in the warm-up than fractions.
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
