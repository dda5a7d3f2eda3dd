"""The parts of Keras's optimizers: their variables, and the moves of their `apply`, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.tensorflow.optimizer import TFOptimizer

from tfps._keras.variables import native

SLOTS = {
    keras.optimizers.Adadelta: ("_accumulated_grads", "_accumulated_delta_vars"),
    keras.optimizers.Adagrad: ("_accumulators",),
    keras.optimizers.Adam: ("_momentums", "_velocities", "_velocity_hats"),
    keras.optimizers.Adamax: ("_m", "_u"),
    keras.optimizers.Ftrl: ("_accumulators", "_linears"),
    keras.optimizers.Lion: ("_momentums",),
    keras.optimizers.Nadam: ("_momentums", "_velocities"),
    keras.optimizers.RMSprop: ("_velocities", "_momentums", "_average_gradients"),
    keras.optimizers.ScheduleFreeAdamW: ("_momentums", "_velocities"),
    keras.optimizers.SGD: ("momentums",),
}
"""The lists in which an optimizer keeps its slot variables, one entry for each variable."""


class StandIn:
    """Base class of what an optimizer can update in place of a variable it was built for.

    Attributes:
        name: the name of the variable; weight decay is excluded by name.
    """

    def __init__(self, variable: keras.Variable) -> None:
        self.name = variable.name
        self._unique_id = native(variable)._unique_id  # how an optimizer tells variables apart


def without_wrappers(
    optimizer: keras.optimizers.Optimizer | None,
) -> list[keras.optimizers.Optimizer]:
    """Return the optimizers that update variables themselves, in `optimizer`."""
    if optimizer is None:
        return []
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return [optimizer.inner_optimizer]
    if isinstance(optimizer, keras.optimizers.MultiOptimizer):
        return list(optimizer.optimizers)
    return [optimizer]


def optimized_variables(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Return the variables that `optimizer` was built for."""
    return list(optimizer._trainable_variables)


def global_step_variable(optimizer: keras.optimizers.Optimizer) -> keras.Variable:
    """Return the variable that counts the optimizer's updates."""
    return optimizer._iterations


def learning_rate_variable(optimizer: keras.optimizers.Optimizer) -> keras.Variable | None:
    """Return the variable that holds the learning rate, None under a schedule."""
    rate = optimizer._learning_rate
    return rate if isinstance(rate, keras.Variable) else None


def moving_averages(
    optimizer: keras.optimizers.Optimizer,
) -> list[tuple[keras.Variable, keras.Variable]]:
    """Return the variables that have a moving average, each with it; none without `use_ema`."""
    if not optimizer.use_ema:
        return []
    averages = optimizer._model_variables_moving_average
    pairs = zip(optimizer._trainable_variables, averages, strict=True)
    return [(variable, average) for variable, average in pairs if average is not None]


def slots(optimizer: keras.optimizers.Optimizer, variable: Any) -> list[keras.Variable]:
    """Return the slot variables of a variable, known by its `_unique_id`, in the order above."""
    (names,) = (names for c, names in SLOTS.items() if isinstance(optimizer, c))
    lists = [getattr(optimizer, name, None) for name in names]  # some only with an option
    index = optimizer._get_variable_index(variable)
    return [found[index] for found in lists if found]


def shared_variables(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Return what `update_shared` updates."""
    return [optimizer._u_product] if isinstance(optimizer, keras.optimizers.Nadam) else []


def with_gradients(
    optimizer: keras.optimizers.Optimizer, gradients: Sequence[tuple[keras.Variable, Any]]
) -> tuple[list[keras.Variable], list[tf.Tensor]]:
    """Return the variables that have a gradient, and those, with Keras's warning about the rest.

    Raises:
        ValueError: if none has, or the optimizer was built without one of the variables.
    """
    optimizer._check_variables_are_known([variable for variable, _ in gradients])
    found, variables = optimizer._filter_empty_gradients(
        [gradient for _, gradient in gradients], [variable for variable, _ in gradients]
    )
    return list(variables), list(found)


def clip_gradients(
    optimizer: keras.optimizers.Optimizer, gradients: list[tf.Tensor]
) -> list[tf.Tensor]:
    """Clip by norm, global norm or value, as the optimizer says."""
    return list(optimizer._clip_gradients(gradients))


def decays(optimizer: keras.optimizers.Optimizer, variable: Any) -> bool:
    """Whether the optimizer decays a variable, known by its `name` and `_unique_id`."""
    return optimizer.weight_decay is not None and optimizer._use_weight_decay(variable)


def has_shared_update(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether a step updates more than each variable by itself, as Nadam does."""
    return type(optimizer)._backend_update_step is not TFOptimizer._backend_update_step


def update_shared(optimizer: keras.optimizers.Optimizer, rate: tf.Tensor) -> None:
    """Do what a step of `optimizer` does once, beside updating the variables."""
    optimizer._backend_update_step([], [], rate)
