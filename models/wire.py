"""What travels between the workers and the ps, by the names that a recipe's command line takes.

No TensorFlow here until a codec is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypedDict

import tfps

if TYPE_CHECKING:
    from tfps.training.auto import AutoCodec
    from tfps.wire import Codec

Pull = Literal["float32", "bfloat16", "float16", "int8", "auto"]
Push = Literal[Pull, "onebit", "topk", "randomk", "powersgd"]

_WARM_UP_STEPS = 250


class Chosen(Protocol):
    """Settings that name what travels."""

    @property
    def pull(self) -> Pull:
        """The format of the parameters."""

    @property
    def push(self) -> Push:
        """The format of the gradients."""

    @property
    def overlap(self) -> bool:
        """Whether a worker pulls and pushes while it computes."""


class Wire(TypedDict):
    """Arguments of `tfps.ParameterServerStrategy`."""

    pull: AutoCodec
    push: AutoCodec
    overlap: bool


def wire(chosen: Chosen) -> Wire:
    """Return what settings ask for, as arguments of `tfps.ParameterServerStrategy`."""
    return {"pull": codec(chosen.pull), "push": codec(chosen.push), "overlap": chosen.overlap}


def codec(name: Push) -> AutoCodec:
    """Return the codec of a name; "auto" stays what it is.

    `onebit`, `topk` (the largest 5 %), `randomk` (1 %) and `powersgd` (rank 8) leave most of a
    gradient out, and error feedback sends it later. That is not for the rows of tables, of which
    every step has others: those travel in int8. But for `randomk` they begin with more: Adam
    divides by what it has seen of the last gradients, and learns slowly from the start where most
    of them are missing (`python -m benchmarks.learning`).

    Raises:
        ValueError: There is no such name.
    """
    if name == "auto":
        return "auto"
    codecs = _codecs()
    if name not in codecs:
        raise ValueError(f"No codec is called {name!r}; there are auto, {', '.join(codecs)}.")
    return codecs[name]


def with_feedback(sparse: Codec) -> Codec:
    """Return a codec with error feedback for dense gradients, and int8 for the rows of tables."""
    return tfps.wire.DenseAndRows(dense=tfps.wire.ErrorFeedback(sparse), rows=tfps.wire.Int8())


def after_int8(push: Codec, steps: int) -> Codec:
    """Return int8 for some steps, and another codec from then on."""
    return tfps.wire.Warmup(((0, tfps.wire.Int8()), (steps, push)))


def falling(fraction: float, steps: int) -> Codec:
    """Return a sampled TopK that begins with a quarter, and goes to a fraction of the numbers.

    Args:
        fraction: What is sent after the warm-up.
        steps: Of the warm-up.
    """
    shares = [0.25]
    while shares[-1] / 4 > fraction:
        shares.append(shares[-1] / 4)
    starts = [index * steps // len(shares) for index in range(len(shares) + 1)]
    stages = [tfps.wire.TopK(share, threshold="sampled") for share in (*shares, fraction)]
    return tfps.wire.Warmup(tuple(zip(starts, stages, strict=True)))


def _codecs() -> dict[str, Codec]:
    return {
        "float32": tfps.wire.Identity(),
        "bfloat16": tfps.wire.Cast("bfloat16"),
        "float16": tfps.wire.Cast("float16"),
        "int8": tfps.wire.Int8(),
        "onebit": with_feedback(after_int8(tfps.wire.OneBit(128), _WARM_UP_STEPS)),
        "topk": with_feedback(falling(0.05, 2 * _WARM_UP_STEPS)),
        "randomk": with_feedback(tfps.wire.RandomK(0.01)),
        "powersgd": with_feedback(after_int8(tfps.wire.PowerSGD(8), _WARM_UP_STEPS)),
    }
