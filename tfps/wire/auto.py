"""What "auto" picks: the least lossy codec that keeps the wire off the critical path."""

from __future__ import annotations

import dataclasses

from tfps.wire.cast import Cast
from tfps.wire.codec import Codec, Identity
from tfps.wire.error_feedback import ErrorFeedback
from tfps.wire.int8 import Int8
from tfps.wire.one_bit import OneBit
from tfps.wire.policy import DenseAndRows, Warmup

# What part of a step's time the pull, or the push, may take, by how many of them run while it
# computes. Without overlap a step waits for the wire whatever it carries; then this much is little.
_PARTS = {0: (0.05, "5% of it"), 1: (0.5, "half of it"), 2: (1.0, "the time that it computes")}

# Adam learns slowly where most of the first gradients are missing.
_SIGNS = DenseAndRows(
    dense=ErrorFeedback(Warmup(((0, Int8()), (250, OneBit(128))))),
    rows=Int8(),
)
_PULLS: tuple[tuple[Codec, float], ...] = ((Identity(), 4.0), (Cast(), 2.0), (Int8(), 1.0))
_PUSHES = (*_PULLS, (_SIGNS, 0.16))
"""Codecs from the least lossy one to the smallest, with the bytes of a float32 number in each."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """What the slowest worker measured at the start of a job.

    Attributes:
        compute_s: seconds that a step computes.
        pull_bytes: what a step pulls from all ps together, uncoded.
        push_bytes: what it pushes to all ps together, uncoded.
        pull_bytes_per_s: how fast all ps together send to a worker, while others pull too.
        push_bytes_per_s: how fast they receive from it.
    """

    compute_s: float
    pull_bytes: int
    push_bytes: int
    pull_bytes_per_s: float
    push_bytes_per_s: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """A codec, and why it was picked."""

    codec: Codec
    reason: str


def choose_pull(measured: Measured, *, overlap: int) -> Choice:
    """Pick the codec of the pulls."""
    return _choose(
        "pull", _PULLS, measured.pull_bytes, measured.pull_bytes_per_s, measured, overlap
    )


def choose_push(measured: Measured, *, overlap: int) -> Choice:
    """Pick the codec of the pushes."""
    return _choose(
        "push", _PUSHES, measured.push_bytes, measured.push_bytes_per_s, measured, overlap
    )


def _choose(
    name: str,
    candidates: tuple[tuple[Codec, float], ...],
    num_bytes: int,
    rate: float,
    measured: Measured,
    overlap: int,
) -> Choice:
    part, limit = _PARTS[overlap]
    allowed_s = measured.compute_s * part
    needed = [(codec, num_bytes * size / 4.0 / rate) for codec, size in candidates]
    fitting = [(codec, seconds) for codec, seconds in needed if seconds <= allowed_s]
    codec, seconds = fitting[0] if fitting else needed[-1]
    _, uncoded_s = needed[0]
    verdict = "is within" if fitting else "is the least there is, and above"
    return Choice(
        codec=codec,
        reason=(
            f'{name}="auto": {codec!r}. A step computes for {1e3 * measured.compute_s:.3g} ms; its '
            f"{num_bytes / 1e6:.3g} MB take {1e3 * uncoded_s:.3g} ms at {rate / 1e6:.3g} MB/s, and "
            f"{1e3 * seconds:.3g} ms in this codec, which {verdict} {limit}."
        ),
    )
