"""Moving averages of parameters (`use_ema`), on the ps of the parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfps import _keras
from tfps.optimizer.views import ShardView
from tfps.params.shards import shards, updated_on


def averaged_shards(
    optimizer: keras.optimizers.Optimizer, *, ps: int | None = None
) -> list[tuple[ShardView, ShardView]]:
    """Return each shard of a variable that has a moving average, with the shard of the average.

    Args:
        optimizer: the optimizer.
        ps: the index of the ps that updates the shards; None returns the shards of all.
    """
    return [
        (ShardView(variable, shard), ShardView(average, averaged))
        for variable, average in _keras.moving_averages(optimizer)
        for shard, averaged in zip(shards(variable), shards(average), strict=True)
        if ps is None or ps == (shard.ps if updated_on(variable) is None else updated_on(variable))
    ]


def move_averages(optimizer: keras.optimizers.Optimizer, number: tf.Tensor, ps: int) -> None:
    """Update the moving averages of what a ps updates, all rows included.

    Args:
        optimizer: the optimizer.
        number: the number of the batch, int64. Those of the first update set the averages to the
            variables. Those of every `ema_overwrite_frequency`-th update set the variables to their
            averages.
        ps: the index of the ps.
    """
    frequency = optimizer.ema_overwrite_frequency
    number = number // (optimizer.gradient_accumulation_steps or 1)  # as `optimizer.iterations`
    averaged = averaged_shards(optimizer, ps=ps)
    for view, average in averaged:
        with tf.device(view.device):
            momentum = tf.where(tf.equal(number, 0), 0.0, optimizer.ema_momentum)
            momentum = tf.cast(momentum, view.dtype)
            average.assign(momentum * average.read() + (1 - momentum) * view.read())
    if not frequency:
        return
    for view, average in averaged:
        with tf.device(view.device):
            tf.cond((number + 1) % frequency == 0, _assignment(view, average), tf.no_op)


def _assignment(target: ShardView, source: ShardView) -> Callable[[], Any]:
    def assign() -> Any:
        target.assign(source.read())
        return tf.no_op()

    return assign


def finalize(optimizer: keras.optimizers.Optimizer) -> None:
    """Set the variables to their moving averages, if they have any, at the end of training."""
    for inner in _keras.without_wrappers(optimizer):
        for view, average in averaged_shards(inner):
            view.assign(average.read())


def swap_averages(optimizer: keras.optimizers.Optimizer) -> None:
    """Exchange variables and their moving averages, each on its ps."""
    for view, average in averaged_shards(optimizer):
        value = view.read()
        view.assign(average.read())
        average.assign(value)


def reset_averages(optimizer: keras.optimizers.Optimizer) -> None:
    """Set the moving averages to the variables, each on its ps."""
    for view, average in averaged_shards(optimizer):
        average.assign(view.read())
