"""How the GPT is trained: the formats on the wire, and how far behind float32 each may end."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from benchmarks.learning import lesson
from benchmarks.learning.lesson import Curve, Lesson
from models.lib.settings import after_int8, codec, falling, with_feedback
from tfps import wire
from tfps.wire import Auto, Codec

if TYPE_CHECKING:
    import keras

FLOAT32, SGD = "float32", "sgd"
_CAST, _SPARSE = 1.0, 2.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to train.

    Attributes:
        pull: The codec of the parameters.
        push: The codec of the gradients.
        overlap: Of the strategy.
        optimizer: "adam" is the recipe's; "sgd" has the momentum 0.9, and "sgd without momentum"
            leaves the momentum to the codec. Rate schedule and clipping are the same for all.
        reference: Who it is compared with; None for those that others are compared with.
        allowed_percent: By how much its loss may be above the reference's.
    """

    pull: Codec | Auto
    push: Codec | Auto
    overlap: bool = False
    optimizer: Literal["adam", "sgd", "sgd without momentum"] = "adam"
    reference: str | None = FLOAT32
    allowed_percent: float | None = None

    def __str__(self) -> str:
        """Say all that was set."""
        overlap = " overlap;" if self.overlap else ""
        return f"{self.optimizer};{overlap} pull {self.pull}; push {self.push}"


def contenders(steps: int) -> dict[str, Contender]:
    """Return all contenders by name.

    Gradients that are mostly left out go with int8 pulls, as somebody would have it whose links
    are so slow: else what is pulled would be most of the bytes. Those with a warm-up send more at
    first: Adam divides by what it has seen of the last gradients, and learns slowly from the start
    where most of them are missing.

    Args:
        steps: Steps of the whole training, over part of which some codecs warm up.
    """
    float32, int8 = codec("float32"), codec("int8")
    both = {
        "bfloat16": codec("bfloat16"),
        "float16": codec("float16"),
        "int8": int8,
        "int8-stochastic": wire.Int8(rounding="stochastic"),
        "lossless": wire.Lossless(),
    }
    pushed = {
        "onebit": with_feedback(wire.OneBit()),
        "onebit-warmup": with_feedback(after_int8(wire.OneBit(128), steps // 4)),
        "powersgd": with_feedback(wire.PowerSGD(4)),
        "powersgd-warmup": with_feedback(after_int8(wire.PowerSGD(8), steps // 4)),
        "topk": with_feedback(wire.TopK(0.01)),
        "topk-sampled": with_feedback(wire.TopK(0.01, threshold="sampled")),
        "topk-warmup": with_feedback(falling(0.05, steps // 2)),
    }
    return {
        FLOAT32: Contender(pull=float32, push=float32, reference=None),
        **{
            name: Contender(pull=same, push=same, allowed_percent=_CAST)
            for name, same in both.items()
        },
        "overlap": Contender(pull=float32, push=float32, overlap=True),
        **{
            name: Contender(pull=int8, push=push, allowed_percent=_SPARSE)
            for name, push in pushed.items()
        },
        "randomk": Contender(pull=int8, push=codec("randomk")),
        SGD: Contender(pull=float32, push=float32, optimizer="sgd", reference=None),
        "dgc": Contender(
            pull=int8,
            push=wire.deep_gradient_compression(0.01, 0.9, warmup_steps=steps // 4),
            optimizer="sgd without momentum",
            reference=SGD,
            allowed_percent=_SPARSE,
        ),
    }


SGD_LEARNING_RATE = 0.1  # SGD with momentum learns less with 0.03, and with 0.3.
_MOMENTUM = 0.9


def train(contender: Contender, what: Lesson) -> Curve:
    """Train on the cluster, with the contender's formats and optimizer."""
    return lesson.on_cluster(
        what,
        lambda: optimizer(contender, what),
        pull=contender.pull,
        push=contender.push,
        overlap=contender.overlap,
    )


def optimizer(contender: Contender, what: Lesson) -> keras.optimizers.Optimizer | None:
    """Return the contender's optimizer; None stands for the recipe's own, Adam."""
    import keras

    from models.lib.training import schedule

    if contender.optimizer == "adam":
        return None
    return keras.optimizers.SGD(
        schedule(SGD_LEARNING_RATE, what.steps),
        momentum=_MOMENTUM if contender.optimizer == "sgd" else 0.0,
        global_clipnorm=what.clip_norm,
    )
