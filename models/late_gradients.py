"""The optimizer of the recipes that train transformers on several workers."""

from __future__ import annotations

import keras


def adam(learning_rate: float, steps: int, *, global_clipnorm: float) -> keras.optimizers.Optimizer:
    """Make an Adam for gradients that come late.

    A gradient comes a step late for each other worker, and late gradients with a long memory make
    Adam swing: with its defaults, two workers learn half as fast as one.

    Args:
        learning_rate: The highest, between a linear warm-up and a cosine decay to a tenth.
        steps: Steps of the whole job, those of all workers together.
        global_clipnorm: The largest norm of all gradients together.
    """
    warmup_steps = min(100, steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=learning_rate,
        warmup_steps=warmup_steps,
        decay_steps=steps - warmup_steps,
        alpha=0.1,
    )
    return keras.optimizers.Adam(schedule, beta_1=0.5, beta_2=0.95, global_clipnorm=global_clipnorm)
