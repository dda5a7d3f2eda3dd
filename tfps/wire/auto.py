"""`Auto`: the least lossy codec that keeps the wire off the critical path."""

from __future__ import annotations

import dataclasses
import math

from tfps.wire.cast import Cast
from tfps.wire.codec import Codec, Identity
from tfps.wire.error_feedback import ErrorFeedback
from tfps.wire.int8 import Int8
from tfps.wire.one_bit import OneBit
from tfps.wire.policy import DenseAndRows, Warmup

# The part of a step's computing time that the pull, or the push, may take. Without overlap a step
# waits for the wire in any case, so that the part has to be small.
_PART = (0.05, "5% of it")
_OVERLAPPED_PART = (0.5, "half of it")

# More messages would overlap better, but each costs a millisecond of CPU time.
_MOST_MESSAGES = 12
_LEAST_MESSAGE_S = 0.02

# Adam learns slowly if most of the first gradients are missing.
_SIGNS = DenseAndRows(
    dense=ErrorFeedback(Warmup(((0, Int8()), (250, OneBit(128))))),
    rows=Int8(),
)
_PULLS: tuple[tuple[Codec, float], ...] = ((Identity(), 4.0), (Cast(), 2.0), (Int8(), 1.0))
_PUSHES = (*_PULLS, (_SIGNS, 0.16))
"""Codecs from the least lossy one to the smallest, with the bytes of a float32 number in each."""


@dataclasses.dataclass(frozen=True)
class Auto:
    """Let tfps pick a codec, to be given to the strategy as `pull` or `push`.

    Before a model's first step, each worker times the step and its links to all ps. tfps then picks
    the least lossy codec that keeps the wire off the critical path, and prints which and why. If
    the strategy has no `bucket_bytes`, it picks that, too.
    """


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepProfile:
    """The speed of a step and of the links, as the slowest worker measured them.

    Attributes:
        compute_s: the time that a step computes, in seconds.
        pull_bytes: the bytes that a step pulls from all ps together, uncoded.
        push_bytes: the bytes that it pushes to all ps together, uncoded.
        pull_bytes_per_s: the rate at which all ps together send to a worker while others pull, too.
        push_bytes_per_s: the rate at which they receive from it.
    """

    compute_s: float
    pull_bytes: int
    push_bytes: int
    pull_bytes_per_s: float
    push_bytes_per_s: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class CodecChoice:
    """A codec, and why it was chosen.

    Attributes:
        codec: the codec.
        seconds: the time that the pull, or push, of a step takes with it.
        reason: why it was chosen, for the log.
    """

    codec: Codec
    seconds: float
    reason: str


def choose_pull(profile: StepProfile, *, overlap: bool) -> CodecChoice:
    """Return the choice of the codec for pulls."""
    return _choose("pull", _PULLS, profile.pull_bytes, profile.pull_bytes_per_s, profile, overlap)


def choose_push(profile: StepProfile, *, overlap: bool) -> CodecChoice:
    """Return the choice of the codec for pushes."""
    return _choose("push", _PUSHES, profile.push_bytes, profile.push_bytes_per_s, profile, overlap)


def choose_bucket_bytes(profile: StepProfile, seconds: float, num_ps: int) -> int | None:
    """Return the maximum bytes of parameters in a message; None puts all of a ps into one.

    Args:
        profile: the profile of a step.
        seconds: the time that the pull, or push, of a step takes with its codec.
        num_ps: the number of ps; a worker's messages to them take turns on its link.
    """
    number = min(_MOST_MESSAGES, int(seconds / _LEAST_MESSAGE_S))
    return None if number < 2 else math.ceil(profile.pull_bytes / num_ps / number)


def _choose(
    name: str,
    candidates: tuple[tuple[Codec, float], ...],
    num_bytes: int,
    rate: float,
    profile: StepProfile,
    overlap: bool,
) -> CodecChoice:
    part, limit = _OVERLAPPED_PART if overlap else _PART
    allowed_s = profile.compute_s * part
    needed = [(codec, num_bytes * size / 4.0 / rate) for codec, size in candidates]
    fitting = [(codec, seconds) for codec, seconds in needed if seconds <= allowed_s]
    codec, seconds = fitting[0] if fitting else needed[-1]
    _, uncoded_s = needed[0]
    verdict = "is within" if fitting else "is the least there is, and above"
    return CodecChoice(
        codec=codec,
        seconds=seconds,
        reason=(
            f"{name}=Auto(): {codec!r}. A step computes for {1e3 * profile.compute_s:.3g} ms; its "
            f"{num_bytes / 1e6:.3g} MB take {1e3 * uncoded_s:.3g} ms at {rate / 1e6:.3g} MB/s, and "
            f"{1e3 * seconds:.3g} ms in this codec, which {verdict} {limit}."
        ),
    )
