"""Draw an optimizer with its settings."""

from __future__ import annotations

import random

RATE = 2.0**-7

_KINDS = {
    "SGD": ["", "momentum=0.9", "momentum=0.8, nesterov=True"],
    "Adam": ["", "amsgrad=True", "beta_1=0.5, epsilon=1e-3"],
    "AdamW": ["", "weight_decay=0.1"],
    "Adamax": [""],
    "Nadam": [""],
    "RMSprop": ["", "centered=True", "momentum=0.9", "centered=True, momentum=0.5"],
    "Adagrad": [""],
    "Adadelta": [""],
    "Ftrl": ["", "l1_regularization_strength=0.01, l2_regularization_strength=0.01", "beta=0.1"],
    "Lion": [""],
    "Lamb": [""],
    "Adafactor": ["", "relative_step=False", "beta_2_decay=-0.5"],
    "Muon": [""],
    "ScheduleFreeAdamW": [""],
}
_SCHEDULES = (
    "keras.optimizers.schedules.ExponentialDecay(0.01, 2, 0.5)",
    "keras.optimizers.schedules.PiecewiseConstantDecay([2, 4], [0.01, 0.005, 0.001])",
    "keras.optimizers.schedules.CosineDecay(0.001, 6, warmup_target=0.01, warmup_steps=2)",
    "keras.optimizers.schedules.PolynomialDecay(0.01, 5)",
    "keras.optimizers.schedules.InverseTimeDecay(0.01, 1, 0.5)",
)
_SETTINGS = (
    "weight_decay=0.05",
    "clipnorm=0.1",
    "clipvalue=0.01",
    "global_clipnorm=0.2",
    "use_ema=True, ema_momentum=0.8",
    "use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=2",
    "gradient_accumulation_steps=2",
    "gradient_accumulation_steps=3",
    "loss_scale_factor=8.0",
)
LINEAR = frozenset({f"keras.optimizers.SGD({RATE})"})
"""Those whose update by a sum of gradients is the sum of the updates."""


def draw(rng: random.Random) -> str:
    """Return the expression of an optimizer."""
    expression = _one(rng)
    if rng.random() < 0.08:
        scale = "initial_scale=256.0, dynamic_growth_steps=2"
        return f"keras.optimizers.LossScaleOptimizer({expression}, {scale})"
    if rng.random() < 0.04:
        mapped = f"keras.optimizers.OptimizerMap({expression}, {{'.*kernel': {_one(rng)}}})"
        return f"keras.optimizers.MultiOptimizer({mapped})"
    return expression


def _one(rng: random.Random) -> str:
    kind = rng.choice([*_KINDS, "SGD", "SGD", "Adam", "Adam"])
    rate = rng.choice(_SCHEDULES) if rng.random() < 0.2 else str(RATE)
    arguments = [rate]
    if own := rng.choice(_KINDS[kind]):
        arguments.append(own)
    if rng.random() < 0.5:
        drawn = rng.sample(_SETTINGS, rng.choice([1, 1, 2]))
        for setting in drawn:
            name = setting.partition("=")[0]
            if not any(_excludes(name, argument) for argument in arguments[1:]):
                arguments.append(setting)
    return f"keras.optimizers.{kind}({', '.join(arguments)})"


def _excludes(name: str, argument: str) -> bool:
    """Whether an argument and a setting of this name cannot both be given."""
    given = {part.strip().partition("=")[0] for part in argument.split(",")}
    clips = {"clipnorm", "clipvalue", "global_clipnorm"}
    return name in given or (name in clips and bool(given & clips))
