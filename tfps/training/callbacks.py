"""Keras's callbacks: the list of a fit, evaluate or predict, and the logs that it is given."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import keras

Logs = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class BatchHooks:
    """What the callbacks of a list do before and after a batch, or the batches of a dispatch.

    Attributes:
        begin: is called before it, with the number of its first batch.
        end: is called after it, with the number of its last batch, and with logs.
        may_act: whether they may do more than watch, such as read or write weights. Then no worker
            starts a dispatch while they run; with one worker, all happens as in plain Keras.
    """

    begin: Callable[[int], None]
    end: Callable[[int, Logs], None]
    may_act: bool


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
    callbacks: keras.callbacks.CallbackList, mode: Literal["train", "test", "predict"]
) -> BatchHooks | None:
    """Return the batch hooks of `callbacks`; None if no callback overrides one.

    Without them nobody reads the logs of a batch, and they need not be computed.
    """
    names = [f"on_{mode}_batch_begin", f"on_{mode}_batch_end"]
    overridable = [*names, "on_batch_begin", "on_batch_end"] if mode == "train" else names
    base = keras.callbacks.Callback
    active = [
        callback
        for callback in callbacks.callbacks
        if any(
            getattr(getattr(callback, name), "__func__", None) is not getattr(base, name)
            for name in overridable
        )
    ]
    if not active:
        return None
    begin, end = (getattr(callbacks, name) for name in names)
    return BatchHooks(begin, end, may_act=not all(map(_only_watches, active)))


def _only_watches(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback is one of Keras's own, and does not save in the middle of an epoch."""
    kind = type(callback)
    if getattr(keras.callbacks, kind.__name__, None) is not kind:
        return False
    saves_by_batches = isinstance(getattr(callback, "save_freq", None), int)
    return not (saves_by_batches or isinstance(callback, keras.callbacks.LambdaCallback))
