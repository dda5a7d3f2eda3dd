"""Keras's callbacks: the list of a fit, evaluate or predict, and the logs that it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

Logs = dict[str, Any]
BatchHooks = tuple[Callable[..., None], Callable[..., None]]
"""The functions to call before a batch, with its number, and after it, with its logs as well."""


def callback_list(
    model: keras.Model, callbacks: Any, verbose: Any, *, epochs: int, steps: int | None,
    add_history: bool = False,
) -> keras.callbacks.CallbackList:  # fmt: skip
    """Return the argument `callbacks` of fit, evaluate or predict as a list that Keras can call."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks
    return keras.callbacks.CallbackList(
        callbacks,
        add_history=add_history,
        add_progbar=verbose != 0,
        verbose=verbose,
        epochs=epochs,
        steps=steps,
        model=model,
    )


def batch_hooks(
    callbacks: keras.callbacks.CallbackList, mode: Literal["train", "test"]
) -> BatchHooks | None:
    """Return the batch hooks of `callbacks`; None if no callback overrides one.

    Without them nobody reads the logs of a batch, and they need not be computed.
    """
    names = [f"on_{mode}_batch_begin", f"on_{mode}_batch_end", "on_batch_begin", "on_batch_end"]
    base = keras.callbacks.Callback
    idle = all(
        getattr(getattr(callback, name), "__func__", None) is getattr(base, name)
        for callback in callbacks.callbacks
        for name in names
    )
    return None if idle else (getattr(callbacks, names[0]), getattr(callbacks, names[1]))


def as_floats(logs: Logs) -> Logs:
    """Return logs whose scalar tensors are floats, or strings in arrays, as callbacks expect."""

    def as_float(value: Any) -> Any:
        if not (tf.is_tensor(value) and value.shape.rank == 0):
            return value
        return np.asarray(value.numpy(), object) if value.dtype == tf.string else float(value)

    return {name: as_float(value) for name, value in logs.items()}
