"""The optimizer of the recipes that train transformers on several workers."""

from __future__ import annotations

import keras


def adam(learning_rate: float, steps: int, *, global_clipnorm: float) -> keras.optimizers.Optimizer:
    """Make an Adam for gradients that come late.

    A gradient comes a step late for each other worker, and late gradients with a long memory make
    Adam swing: with its defaults, two workers learn half as fast as one.

    Args:
        learning_rate: The highest, of `schedule`.
        steps: Steps of the whole job, those of all workers together.
        global_clipnorm: The largest norm of all gradients together.
    """
    rate = schedule(learning_rate, steps)
    return keras.optimizers.Adam(rate, beta_1=0.5, beta_2=0.95, global_clipnorm=global_clipnorm)


def schedule(
    learning_rate: float, steps: int, warmup_steps: int | None = None
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Make a learning rate that rises linearly, then falls as a cosine to a tenth.

    Args:
        learning_rate: The highest.
        steps: Steps of the whole job, those of all workers together.
        warmup_steps: For how many of these it rises; None for 100, or a tenth of fewer than 1,000.
    """
    if warmup_steps is None:
        warmup_steps = min(100, steps // 10)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=learning_rate,
        warmup_steps=warmup_steps,
        decay_steps=steps - warmup_steps,
        alpha=0.1,
    )
