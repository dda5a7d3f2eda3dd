"""Moving averages of parameters, which lie beside them on their ps."""

from __future__ import annotations

import keras

from tfps import _keras
from tfps.params.shards import shards
from tfps.step.views import ShardView


def averaged_shards(optimizer: keras.optimizers.Optimizer) -> list[tuple[ShardView, ShardView]]:
    """Return each shard of the variables that have a moving average, and that of the average."""
    return [
        (ShardView(variable, shard), ShardView(average, averaged))
        for variable, average in _keras.moving_averages(optimizer)
        for shard, averaged in zip(shards(variable), shards(average), strict=True)
    ]


def finalize(optimizer: keras.optimizers.Optimizer) -> None:
    """Put the moving averages into the variables at the end of training, if there are any."""
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
