"""Keras's optimizers: their variables, and the parts of their `apply`."""

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
"""The names of the lists of slot variables in each optimizer; a list has one for each variable."""


class StandIn:
    """Base class of objects that an optimizer can update in place of one of its variables.

    Attributes:
        name: the name of the variable; weight decay is excluded by name.
        path: its path; Muon goes by it.
    """

    def __init__(self, variable: keras.Variable) -> None:
        self.name, self.path = variable.name, variable.path
        self._unique_id = native(variable)._unique_id  # how an optimizer tells variables apart


def without_wrappers(
    optimizer: keras.optimizers.Optimizer | None,
) -> list[keras.optimizers.Optimizer]:
    """Return the optimizers inside a LossScaleOptimizer or MultiOptimizer, else the optimizer."""
    if optimizer is None:
        return []
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return [optimizer.inner_optimizer]
    if isinstance(optimizer, keras.optimizers.MultiOptimizer):
        return list(optimizer.optimizers)
    return [optimizer]


def move_to(strategy: Any, optimizer: keras.optimizers.Optimizer) -> None:
    """Make the variables of an optimizer that was made outside of a strategy's scope anew, in it.

    The optimizer, its settings and its `keras.Variable`s stay the same objects.

    Raises:
        ValueError: if it has slot variables, or belongs to another strategy.
    """
    for part in [optimizer, *without_wrappers(optimizer)]:
        if part._distribution_strategy is strategy:
            continue
        if part.built:
            raise ValueError(
                f"Optimizer {part.name!r} already has slot variables for "
                f"{len(part._trainable_variables)} variables, and they were made outside of the "
                "scope of this model's strategy. Compile the model with a new optimizer, such as "
                "type(optimizer).from_config(optimizer.get_config())."
            )
        with strategy.scope():
            for variable in _own_variables(part):
                variable._initialize(tf.constant(variable.numpy()))
        part._distribution_strategy = strategy


def _own_variables(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Return the variables of an optimizer that is not built, without those of one inside it."""
    inner = {id(v) for part in without_wrappers(optimizer) for v in part.variables}
    is_wrapper = optimizer not in without_wrappers(optimizer)
    return [v for v in optimizer.variables if not (is_wrapper and id(v) in inner)]


def optimized_variables(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Return the variables that `optimizer` was built for."""
    return list(optimizer._trainable_variables)


def global_step_variable(optimizer: keras.optimizers.Optimizer) -> keras.Variable:
    """Return the variable that counts the optimizer's updates."""
    return optimizer._iterations


def learning_rate_variable(optimizer: keras.optimizers.Optimizer) -> keras.Variable | None:
    """Return the variable that holds the learning rate; None if a schedule gives it."""
    rate = optimizer._learning_rate
    return rate if isinstance(rate, keras.Variable) else None


def counters(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Return the scalars that `optimizer.apply` reads: the count, the rate, and the loss scale."""
    (inner,) = without_wrappers(optimizer)
    rate = learning_rate_variable(inner)
    scale = []
    if inner is not optimizer and optimizer.built:
        scale = [optimizer.dynamic_scale, optimizer.step_counter]
    return [global_step_variable(inner), *([] if rate is None else [rate]), *scale]


def changed_by(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Return the optimizer's own variables that `optimizer.apply` changes."""
    (inner,) = without_wrappers(optimizer)
    rate = learning_rate_variable(inner)
    return [variable for variable in optimizer.variables if variable is not rate]


def moving_averages(
    optimizer: keras.optimizers.Optimizer,
) -> list[tuple[keras.Variable, keras.Variable]]:
    """Return pairs of a variable and its moving average; none without `use_ema`."""
    if not optimizer.use_ema:
        return []
    averages = optimizer._model_variables_moving_average
    pairs = zip(optimizer._trainable_variables, averages, strict=True)
    return [(variable, average) for variable, average in pairs if average is not None]


def slots(optimizer: keras.optimizers.Optimizer, variable: Any) -> list[keras.Variable]:
    """Return the slot variables of a tf.Variable or `StandIn`, in the order of `SLOTS`."""
    (names,) = (names for c, names in SLOTS.items() if isinstance(optimizer, c))
    lists = [getattr(optimizer, name, None) for name in names]  # some exist only with an option
    index = optimizer._get_variable_index(variable)
    return [variables[index] for variables in lists if variables]


def shared_variables(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Return the variables that `update_shared` updates."""
    return [optimizer._u_product] if isinstance(optimizer, keras.optimizers.Nadam) else []


def with_gradients(
    optimizer: keras.optimizers.Optimizer, gradients: Sequence[tuple[keras.Variable, Any]]
) -> tuple[list[keras.Variable], list[tf.Tensor]]:
    """Return the variables that have a gradient, and their gradients; warn of the others as Keras.

    Raises:
        ValueError: if no variable has one, or the optimizer was built without one of the variables.
    """
    optimizer._check_variables_are_known([variable for variable, _ in gradients])
    present, variables = optimizer._filter_empty_gradients(
        [gradient for _, gradient in gradients], [variable for variable, _ in gradients]
    )
    return list(variables), list(present)


def clip_gradients(
    optimizer: keras.optimizers.Optimizer, gradients: list[tf.Tensor]
) -> list[tf.Tensor]:
    """Return the gradients clipped by the optimizer's norm, global norm or value."""
    return list(optimizer._clip_gradients(gradients))


def decays(optimizer: keras.optimizers.Optimizer, variable: Any) -> bool:
    """Whether the optimizer's weight decay applies to a tf.Variable or `StandIn`."""
    has_decay = optimizer.weight_decay is not None or _has_own_decay(optimizer)
    return has_decay and bool(optimizer._use_weight_decay(variable))


def decay(optimizer: keras.optimizers.Optimizer, variable: Any, rate: tf.Tensor) -> None:
    """Apply the optimizer's weight decay to a `StandIn`.

    Args:
        optimizer: the optimizer.
        variable: what shrinks.
        rate: the learning rate, of its dtype. An optimizer with a decay of its own, such as Muon,
            reads the rate itself.
    """
    if _has_own_decay(optimizer):
        optimizer._apply_weight_decay([variable])
    else:
        variable.assign_sub(variable * tf.cast(optimizer.weight_decay, variable.dtype) * rate)


def _has_own_decay(optimizer: keras.optimizers.Optimizer) -> bool:
    return type(optimizer)._apply_weight_decay is not TFOptimizer._apply_weight_decay


def has_shared_update(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether a step also updates something that all variables share, as Nadam's does."""
    return type(optimizer)._backend_update_step is not TFOptimizer._backend_update_step


def update_shared(optimizer: keras.optimizers.Optimizer, rate: tf.Tensor) -> None:
    """Run the part of a step that updates what all variables share."""
    # Inside of a strategy's scope, as where fit is called in it, there is no replica context.
    with tf.distribute.ReplicaContext(tf.distribute.get_strategy(), 0):
        optimizer._backend_update_step([], [], rate)
