"""Limits: what an optimizer, or a constraint, cannot do to parameters that lie on several ps."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import keras

from tfps import _keras
from tfps.params.shards import shards
from tfps.step.settings import Timing

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
_BY_WHOLE_VARIABLE = (
    keras.optimizers.Adafactor,
    keras.optimizers.Lamb,
    keras.optimizers.Muon,
)


def check_shards(
    optimizer: keras.optimizers.Optimizer, optimized: Sequence[keras.Variable]
) -> None:
    """Check that `optimizer` can update each shard of its variables by itself.

    Raises:
        NotImplementedError: if it cannot, or a constraint of them cannot.
    """
    for variable in optimized:
        if len(shards(variable)) == 1:
            continue
        if isinstance(optimizer, _BY_WHOLE_VARIABLE):
            raise NotImplementedError(
                f"{type(optimizer).__name__} takes norms or means of a whole variable, and a "
                f"ps only sees a part of {variable.path!r}. Use a partitioner that does not "
                "split it, or another optimizer."
            )
        if not keeps_to_rows(variable.constraint):
            raise NotImplementedError(
                f"The constraint {variable.constraint!r} of variable {variable.path!r} looks "
                "at all of its rows together, and a ps only sees a part of them. Use a "
                "partitioner that does not split it, or a constraint along another axis."
            )
        if not isinstance(optimizer, _BY_ELEMENT):
            warnings.warn(
                f"Optimizer {type(optimizer).__name__} updates {variable.path!r} shard by "
                "shard. If its update_step looks at more than one element at a time, use a "
                "partitioner that does not split the variable.",
                stacklevel=2,
            )
            return


def check_timing(
    optimizer: keras.optimizers.Optimizer, timing: Timing, *, lazy_rows: bool = True
) -> None:
    """Check that an optimizer's updates can be made when an update policy wants them.

    Raises:
        NotImplementedError: if that is not so.
    """
    for inner in _keras.without_wrappers(optimizer):
        if timing.local is not None:
            _check_local(inner, lazy_rows=lazy_rows)
        elif timing.waits_for_gradients:
            _check_apart(inner)


def _check_apart(optimizer: keras.optimizers.Optimizer) -> None:
    """Check that each ps can make the updates of `optimizer` at times of its own.

    Raises:
        NotImplementedError: if that is not so.
    """
    if _keras.has_shared_update(optimizer):
        raise NotImplementedError(
            f"{type(optimizer).__name__} has a number that all ps update together, and by "
            "this update policy each of them makes its updates by itself. Take Asynchronous() "
            "without max_staleness, BoundedStaleness or Local, or another optimizer, such as Adam."
        )


def _check_local(optimizer: keras.optimizers.Optimizer, *, lazy_rows: bool) -> None:
    """Check that a worker can take steps of `optimizer` on a copy of its own.

    Raises:
        NotImplementedError: if that is not so.
    """
    name = type(optimizer).__name__
    if optimizer.gradient_accumulation_steps:
        raise NotImplementedError(
            f"{name}(gradient_accumulation_steps={optimizer.gradient_accumulation_steps}) with "
            "update=Local(...): what is pushed is added up already, over the steps of a worker. "
            "Leave gradient_accumulation_steps out, and give larger batches or more steps."
        )
    if optimizer.use_ema:
        raise NotImplementedError(
            f"{name}(use_ema=True) with update=Local(...): the average is one over steps, and the "
            "ps see only what several steps have moved. Leave use_ema out."
        )
    if not lazy_rows:
        raise NotImplementedError(
            "lazy_rows=False with update=Local(...): a worker has only the rows that its batches "
            "look up. Leave lazy_rows out."
        )


def has_keras_update(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether the `update_step` is one of Keras's that look at each element by itself."""
    return any(type(optimizer).update_step is c.update_step for c in _BY_ELEMENT)


def keeps_to_rows(constraint: keras.constraints.Constraint | None) -> bool:
    """Whether a constraint, if there is one, looks at each row by itself."""
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
