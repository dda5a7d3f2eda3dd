"""What tfps implements for Keras: a strategy's answers to it, and the scope that a step runs in."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras
import tensorflow as tf


class Hooks(abc.ABC):
    """The work that Keras cannot do under a strategy, and hands over to it."""

    @abc.abstractmethod
    def initial_value(
        self, initializer: Callable[..., Any], shape: tuple[int, ...], dtype: str
    ) -> Callable[..., tf.Tensor]:
        """Return the callable that makes the initial value of a variable or a shard on its ps."""

    @abc.abstractmethod
    def check_optimizer(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Raise an error if a model cannot be compiled with `optimizer` under this strategy."""

    @abc.abstractmethod
    def swap_averages(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Exchange the variables of `optimizer` and their moving averages."""

    @abc.abstractmethod
    def reset_averages(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Set the moving averages to the variables."""

    @abc.abstractmethod
    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Train a model.

        The arguments are the model, those of `keras.Model.fit`, and for a keras-nlp task
        `preprocess`, its `preprocess_samples`.
        """

    @abc.abstractmethod
    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate a model; the arguments are those of `keras.Model.evaluate`, as in `fit`."""

    @abc.abstractmethod
    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Predict with a model; the arguments are those of `keras.Model.predict`, as in `fit`."""

    @abc.abstractmethod
    def outside_of_scopes(self) -> AbstractContextManager[None]:
        """Leave every strategy's scope for a block."""

    @abc.abstractmethod
    def steps_on_chief(self, model: keras.Model) -> bool:
        """Whether steps of `model` run eagerly on the chief, by Keras's own code."""

    @abc.abstractmethod
    def make_function(self, model: keras.Model, method: Any, force: bool = False) -> Any:
        """Give a model its function for a method, anew if `force`; see `BatchFunction`."""


class KerasStrategy:
    """A tf.distribute strategy under which Keras calls `_keras_hooks`."""

    _keras_hooks: Hooks


def hooks_of(strategy: Any) -> Hooks | None:
    """Return the hooks of a strategy, or None if it is not tfps's."""
    return strategy._keras_hooks if isinstance(strategy, KerasStrategy) else None


class StepScope(keras.StatelessScope):
    """A stateless scope in which a `train_step` runs without touching the variables.

    It looks rows up itself, and receives what the step passes to `optimizer.apply`.
    """

    def __init__(self) -> None:
        super().__init__(collect_losses=True, initialize_variables=False)

    @abc.abstractmethod
    def source(self, variable: keras.Variable) -> tf.Tensor:
        """Return the tensor by which a tape differentiates when asked for `variable`."""

    @abc.abstractmethod
    def apply(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: Sequence[Any],
        variables: Sequence[keras.Variable],
    ) -> None:
        """Receive the arguments of a call of `optimizer.apply`."""

    @abc.abstractmethod
    def take(self, variable: keras.Variable, indices: Any) -> tf.Tensor | None:
        """Return `variable[indices]` of shape `indices.shape + variable.shape[1:]`.

        None tells Keras to look the rows up in the whole value.
        """
