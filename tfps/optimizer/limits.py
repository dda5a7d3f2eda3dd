"""Limits: which optimizers and constraints look at more than one row, or cannot be used."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from tfps import _keras

_BY_ELEMENT = (
    keras.optimizers.Adadelta,
    keras.optimizers.Adagrad,
    keras.optimizers.Adam,
    keras.optimizers.AdamW,
    keras.optimizers.Adamax,
    keras.optimizers.Ftrl,
    keras.optimizers.Lion,
    keras.optimizers.Nadam,
    keras.optimizers.RMSprop,
    keras.optimizers.SGD,
    keras.optimizers.ScheduleFreeAdamW,
)


def check_variables(
    optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable | tf.Variable]
) -> None:
    """Check that a step can pull and push the variables that `optimizer` updates in it.

    Raises:
        NotImplementedError: if one is a tf.Variable.
    """
    for variable in variables:
        if not isinstance(variable, keras.Variable):
            raise NotImplementedError(
                f"{type(optimizer).__name__} updates {variable.name!r}, which is a tf.Variable, "
                "and a step pulls and pushes Keras's variables only. Make it by the layer's "
                "add_weight(...), or as a keras.Variable(...)."
            )


def looks_at_whole(optimizer: keras.optimizers.Optimizer, variable: keras.Variable) -> bool:
    """Whether an update of `variable`, or its constraint, may look at all of its elements."""
    return not (has_keras_update(optimizer) and keeps_to_rows(variable.constraint))


def check_updates_per_ps(optimizer: keras.optimizers.Optimizer) -> None:
    """Check that each ps can make the updates of `optimizer` at times of its own.

    Raises:
        NotImplementedError: if it cannot.
    """
    if _keras.has_shared_update(optimizer):
        raise NotImplementedError(
            f"{type(optimizer).__name__} has a number that all ps update together, and by "
            "this update policy each of them makes its updates by itself. Take Asynchronous() "
            "without max_staleness, BoundedStaleness or Local, or another optimizer, such as Adam."
        )


def has_keras_update(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether `update_step` is one of Keras's own that update each element independently."""
    return any(type(optimizer).update_step is c.update_step for c in _BY_ELEMENT)


def keeps_to_rows(constraint: keras.constraints.Constraint | None) -> bool:
    """Whether a constraint can be applied to each row independently; None can."""
    if constraint is None or isinstance(constraint, keras.constraints.NonNeg):
        return True
    norms = (
        keras.constraints.MaxNorm,
        keras.constraints.MinMaxNorm,
        keras.constraints.UnitNorm,
    )
    if not isinstance(constraint, norms):
        return False
    axes = constraint.axis if isinstance(constraint.axis, list | tuple) else [constraint.axis]
    return 0 not in axes
