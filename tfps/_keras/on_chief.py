"""Steps on the chief: for a while, a model of a strategy is one of plain Keras.

Each of its variables gets a plain copy on the chief. Keras's own code then trains, evaluates and
predicts with it, step by step and eagerly. At the end the ps get the values that have changed.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.tensorflow.trainer import TensorFlowTrainer

from tfps._keras.models import FUNCTIONS
from tfps._keras.variables import native

_thread = threading.local()


class Copies:
    """The variables of which the chief has copies, and the strategy that they belong to."""

    def __init__(self, strategy: Any) -> None:
        self.strategy = strategy
        self._copied: list[tuple[keras.Variable, Any, np.ndarray]] = []
        self._restore = contextlib.ExitStack()

    def has(self, variable: keras.Variable) -> bool:
        """Whether a variable has a copy, which is in use."""
        return any(variable is copied for copied, _, _ in self._copied)

    def add(self, variable: keras.Variable) -> None:
        """Have a variable use a copy from now on, if it lies on a ps."""
        original = native(variable)
        if not _is_on_ps(original):
            return
        value = np.array(variable.numpy())
        copy = tf.Variable(value, dtype=original.dtype, trainable=variable.trainable)
        copy._unique_id = original._unique_id  # how an optimizer finds the variable's slots
        self._copied.append((variable, original, value))
        variable._value = copy

    def add_model(self, model: keras.Model) -> None:
        """Have the variables of a model use copies, and the model use Keras's own loops."""
        for layer in model._flatten_layers():
            if isinstance(layer, TensorFlowTrainer) and layer._distribute_strategy is not None:
                self._set(layer, "_distribute_strategy", None)
                for name in FUNCTIONS.values():
                    function = getattr(layer, name)
                    # What the workers run is of no use here; the user's own function is.
                    self._set(layer, name, None if hasattr(function, "by_spec") else function)
        for variable in model.variables:
            self.add(variable)

    def add_optimizer(self, optimizer: Any) -> None:
        """Have an optimizer update plain variables, and use copies of its own."""
        if optimizer._distribution_strategy is self.strategy:
            self._set(optimizer, "_distribution_strategy", tf.distribute.get_strategy())
            for variable in optimizer.variables:
                self.add(variable)

    def add_slot(self, optimizer: Any, create: Callable[[], keras.Variable]) -> keras.Variable:
        """Create a slot variable on the ps, by `create`, and a copy of it."""
        strategy = optimizer._distribution_strategy
        optimizer._distribution_strategy = self.strategy
        try:
            with self.originals():
                slot = create()
        finally:
            optimizer._distribution_strategy = strategy
        self.add(slot)
        return slot

    @contextlib.contextmanager
    def originals(self) -> Iterator[None]:
        """Have the variables be those on the ps in the block, in the scope of the strategy."""
        copies = [native(variable) for variable, _, _ in self._copied]
        for variable, original, _ in self._copied:
            variable._value = original
        try:
            with self.strategy._keras_hooks.outside_of_scopes(), self.strategy.scope():
                yield
        finally:
            for (variable, _, _), copy in zip(self._copied, copies, strict=False):
                variable._value = copy

    def write_back(self) -> None:
        """Give the ps the values that have changed, and let the variables be those on the ps."""
        self._restore.close()
        for variable, original, before in self._copied:
            value = variable.numpy()
            variable._value = original
            if value.tobytes() != before.tobytes():
                variable.assign(value)

    def _set(self, owner: Any, name: str, value: Any) -> None:
        self._restore.callback(setattr, owner, name, getattr(owner, name))
        setattr(owner, name, value)


@contextlib.contextmanager
def on_chief(model: keras.Model, strategy: Any) -> Iterator[None]:
    """Let `model` be one of plain Keras in the block, on the chief.

    Variables that the block creates lie on the ps of `strategy` after it.
    """
    with strategy._keras_hooks.outside_of_scopes():
        outer, _thread.copies = copies(), Copies(strategy)
        try:
            _thread.copies.add_model(model)
            yield
        finally:
            _thread.copies.write_back()
            _thread.copies = outer


def copies() -> Copies | None:
    """Return the copies that are in use in this thread."""
    return getattr(_thread, "copies", None)


def is_on_chief(model: keras.Model) -> bool:
    """Whether variables of `model` use copies now."""
    used = copies()
    return used is not None and any(map(used.has, model.variables))


def initialize(variable: keras.Variable, on_ps: Callable[[], None]) -> None:
    """Create a variable on the ps, by `on_ps`, and a copy of it."""
    used = copies()
    assert used is not None
    with used.originals():
        on_ps()
    used.add(variable)


def _is_on_ps(variable: Any) -> bool:
    if isinstance(variable, tf.__internal__.distribute.ShardedVariable):
        return True
    return bool(tf.DeviceSpec.from_string(variable.device).job == "ps")
