"""The settings that all recipes share, and the arguments they give the strategy.

TensorFlow is imported only once codecs or policies are made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypedDict, get_args

import tfps
from models.lib.inputs import InputError

if TYPE_CHECKING:
    from tfps.update import Policy
    from tfps.wire import Auto, Codec

Pull = Literal["float32", "bfloat16", "float16", "int8", "auto"]
Push = Literal[Pull, "onebit", "topk", "randomk", "powersgd"]
Update = Literal[
    "asynchronous",
    "synchronous",
    "synchronous-backup",
    "semi-synchronous",
    "bounded-staleness",
    "local",
]

STALENESS_STEPS = 4
LOCAL_STEPS = 16
_WARM_UP_STEPS = 250


class StrategyArguments(TypedDict):
    """Arguments of `tfps.ParameterServerStrategy`."""

    pull: Codec | Auto
    push: Codec | Auto
    overlap: bool
    update: Policy | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Settings of a run; each recipe's command line comes from a subclass.

    Attributes:
        LEAST: The least value of a number, where that is not 1.
        MAY_CHANGE: Settings that may differ when a run resumes.
    """

    LEAST: ClassVar[Mapping[str, float]] = {"learning_rate": 1e-9, "seed": 0}
    MAY_CHANGE: ClassVar[frozenset[str]] = frozenset(
        {"check_only", "data", "epochs", "name", "steps_per_execution"}
    )

    name: str
    """Name of the run: its results go to runs/NAME."""
    epochs: int
    """Epochs; after each, the model is validated and saved."""
    learning_rate: float
    """Learning rate of the optimizer."""
    steps_per_execution: int = 10
    """Steps that a worker runs in one dispatch."""
    pull: Pull = "float32"
    """Format in which parameters travel to the workers; auto measures the links and picks one.
    Vectors and other small tensors always stay float32, and so do their gradients."""
    push: Push = "float32"
    """Format in which gradients travel to the ps. onebit, topk (the largest 5 %), randomk (1 %) and
    powersgd (rank 8) send later what a step leaves out; except for randomk, the first steps send
    more."""
    overlap: bool = False
    """Pull and push while computing; --steps-per-execution has to be above 1."""
    update: Update = "asynchronous"
    """When updates take effect. asynchronous: each gradient when it arrives; synchronous: the mean
    of one gradient from each worker; synchronous-backup: the same without the slowest worker;
    semi-synchronous: the mean of as many gradients as there are workers; bounded-staleness: workers
    compute on parameters that miss at most 4 steps of others; local: each worker takes 16 steps on
    its own, then the workers' changes are averaged."""
    check_only: bool = False
    """Check the settings and the data, and leave; silent if they are good."""

    def check(self) -> None:
        """Check the values.

        Raises:
            InputError: Some are out of range; all of them are listed.
        """
        if faults := self.faults():
            raise InputError("\n".join(faults))

    def faults(self) -> list[str]:
        """Say what is wrong with the values, a sentence for each fault."""
        faults = [
            f"--{key.replace('_', '-')} is {value}, but must be at least {self.LEAST.get(key, 1)}."
            for key, value in dataclasses.asdict(self).items()
            if type(value) in (int, float) and not value >= self.LEAST.get(key, 1)
        ]
        if not self.name or Path(self.name).name != self.name or self.name.startswith("."):
            faults.append(f"--name is {self.name!r}, but must be a plain folder name, like mine.")
        if self.overlap and self.steps_per_execution == 1:
            faults.append(
                "--overlap has no effect with --steps-per-execution 1, but takes it above 1."
            )
        if self.overlap and self.update != "asynchronous":
            faults.append(
                f"--overlap does not go with --update {self.update}, but with asynchronous only."
            )
        return faults

    def identity(self, **digests: str) -> dict[str, object]:
        """Return what must be equal for a run to resume: settings, and hashes of its data."""
        kept = {
            key: value
            for key, value in dataclasses.asdict(self).items()
            if key not in self.MAY_CHANGE
        }
        return {**kept, **digests}

    def strategy_arguments(self) -> StrategyArguments:
        """Return the arguments of `tfps.ParameterServerStrategy` that the settings name."""
        return {
            "pull": codec(self.pull),
            "push": codec(self.push),
            "overlap": self.overlap,
            "update": policy(self.update),
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformerSettings(RunSettings):
    """Settings of a run that trains a transformer."""

    heads: int
    """Attention heads; they divide the width."""
    width: int
    """Size of a token's vector."""
    dtype: Literal["float32", "mixed_bfloat16"] = "float32"
    """What layers compute in; variables are float32."""

    def faults(self) -> list[str]:
        """Say what is wrong with the values, a sentence for each fault."""
        faults = super().faults()
        if self.heads > 0 and self.width % self.heads:
            faults.append(
                f"--width is {self.width}, but must be a multiple of --heads, {self.heads}."
            )
        return faults


def codec(name: Push) -> Codec | Auto:
    """Return the codec of a name.

    `onebit`, `topk` (the largest 5 %), `randomk` (1 %) and `powersgd` (rank 8) leave out most of a
    gradient, and error feedback sends it later. Rows of tables travel as int8 instead, since each
    step touches other rows. Except for `randomk`, the first steps send more: Adam divides by the
    magnitude of recent gradients, and learns slowly from the start if most of them are missing
    (`python -m benchmarks.learning`).

    Raises:
        ValueError: No codec has this name.
    """
    codecs: dict[str, Codec | Auto] = {
        "auto": tfps.wire.Auto(),
        "float32": tfps.wire.Identity(),
        "bfloat16": tfps.wire.Cast("bfloat16"),
        "float16": tfps.wire.Cast("float16"),
        "int8": tfps.wire.Int8(),
        "onebit": with_feedback(after_int8(tfps.wire.OneBit(128), _WARM_UP_STEPS)),
        "topk": with_feedback(falling(0.05, 2 * _WARM_UP_STEPS)),
        "randomk": with_feedback(tfps.wire.RandomK(0.01)),
        "powersgd": with_feedback(after_int8(tfps.wire.PowerSGD(8), _WARM_UP_STEPS)),
    }
    if name not in codecs:
        raise ValueError(f"No codec is called {name!r}; there are {', '.join(codecs)}.")
    return codecs[name]


def with_feedback(codec: Codec) -> Codec:
    """Return a codec with error feedback for dense gradients, and int8 for the rows of tables."""
    return tfps.wire.DenseAndRows(dense=tfps.wire.ErrorFeedback(codec), rows=tfps.wire.Int8())


def after_int8(push: Codec, steps: int) -> Codec:
    """Return int8 for the first steps, and another codec from then on."""
    return tfps.wire.Warmup(((0, tfps.wire.Int8()), (steps, push)))


def falling(fraction: float, steps: int) -> Codec:
    """Return a sampled TopK that warms up as Deep Gradient Compression does, from a quarter down.

    Args:
        fraction: Fraction of the numbers that is sent after the warm-up.
        steps: Length of the warm-up.
    """
    return tfps.wire.deep_gradient_compression(fraction, warmup_steps=steps).codec


def policy(name: Update) -> Policy | None:
    """Return the update policy of a name; None, the strategy's default, is "asynchronous".

    `local` is DiLoCo with rounds of 16 steps (Douillard et al. 2023, "DiLoCo: Distributed
    Low-Communication Training of Language Models").

    Raises:
        ValueError: No policy has this name.
    """
    match name:
        case "asynchronous":
            return None
        case "synchronous":
            return tfps.update.Synchronous()
        case "synchronous-backup":
            return tfps.update.Synchronous(backup_workers=1)
        case "semi-synchronous":
            return tfps.update.SemiSynchronous()
        case "bounded-staleness":
            return tfps.update.BoundedStaleness(STALENESS_STEPS)
        case "local":
            return diloco(LOCAL_STEPS)
    raise ValueError(f"No policy is called {name!r}; there are {', '.join(get_args(Update))}.")


def diloco(steps: int) -> Policy:
    """Return local steps whose averaged changes go through SGD with Nesterov momentum.

    Args:
        steps: Steps of each worker in a round.
    """
    import keras

    outer = keras.optimizers.SGD(0.7, momentum=0.9, nesterov=True)
    return tfps.update.Local(steps, outer=outer)
