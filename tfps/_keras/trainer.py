"""What replaces the methods of Keras's models and their trainer, under a tfps strategy."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfps._keras import on_chief
from tfps._keras.interface import KerasStrategy, hooks_of
from tfps._keras.optimizers import move_to

_POSITIONAL = {
    "fit": ("x", "y", "batch_size", "epochs", "verbose", "callbacks", "validation_split",
            "validation_data", "shuffle", "class_weight", "sample_weight", "initial_epoch",
            "steps_per_epoch", "validation_steps", "validation_batch_size", "validation_freq"),
    "evaluate": ("x", "y", "batch_size", "verbose", "sample_weight", "steps", "callbacks",
                 "return_dict"),
    "predict": ("x", "batch_size", "verbose", "steps", "callbacks"),
}  # fmt: skip
_POSITIONAL_WITH_PREPROCESSOR = {
    "fit": ("x", "y", "batch_size", "sample_weight", "validation_data", "validation_split"),
    "evaluate": ("x", "y", "batch_size", "sample_weight"),
    "predict": ("x", "batch_size"),
}


def compile_model(original: Any, model: Any, *args: Any, **kwargs: Any) -> None:
    """Compile a model in its scope, with an optimizer that moves there."""
    in_scope(original, model, *args, **kwargs)  # Keras checks that it is the model's own scope
    hooks = hooks_of(model._distribute_strategy)
    if hooks is not None and model.optimizer is not None:
        move_to(model._distribute_strategy, model.optimizer)
        hooks.check_optimizer(model.optimizer)


def in_scope(original: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a method of a model in the model's scope."""
    strategy = _strategy_of(model)
    if not isinstance(strategy, KerasStrategy) or on_chief.copies() is not None:
        return original(model, *args, **kwargs)
    with strategy.scope():  # type: ignore[attr-defined]
        return original(model, *args, **kwargs)


def first_call(original: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a model; in its scope if that creates variables."""
    if model.built or tf.distribute.has_strategy():
        return original(model, *args, **kwargs)
    return in_scope(original, model, *args, **kwargs)


def _strategy_of(model: Any) -> Any:
    """Return the strategy in whose scope `model` was built; refuse another one's scope."""
    current, built_in = tf.distribute.get_strategy(), model._distribute_strategy
    if isinstance(current, KerasStrategy) and built_in is not current:
        where = "outside of any" if built_in is None else "in another"
        raise ValueError(
            f"Model {model.name!r} was built {where} strategy's scope, so its variables do not "
            "lie on the ps of this one. Build it inside of strategy.scope()."
        )
    return built_in


def hand_over(
    name: str, original: Any, model: Any, *args: Any, preprocesses: bool = False, **kwargs: Any
) -> Any:
    """Have the strategy's hooks do what a method of a model does.

    Args:
        name: the method.
        original: Keras's own.
        model: the model.
        args: its arguments.
        preprocesses: whether it is that of a task of keras-nlp, whose preprocessor comes first.
        kwargs: its arguments.
    """
    hooks = hooks_of(_strategy_of(model))
    if hooks is None:
        return original(model, *args, **kwargs)
    positional = _POSITIONAL_WITH_PREPROCESSOR if preprocesses else _POSITIONAL
    named = dict(zip(positional[name], args, strict=False)) | kwargs
    if hooks.steps_on_chief(model):
        return _on_chief(original, model, named)
    if preprocesses:
        named["preprocess"] = model.preprocess_samples
    return getattr(hooks, name)(model, **named)


def on_batch(original: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
    """Run a method on one batch: on a worker, or on the chief if the model runs eagerly."""
    hooks = hooks_of(_strategy_of(model))
    if hooks is None or not hooks.steps_on_chief(model):
        return original(model, *args, **kwargs)
    with on_chief.on_chief(model, model._distribute_strategy):
        return original(model, *args, **kwargs)


def _on_chief(original: Any, model: Any, named: dict[str, Any]) -> Any:
    for name in ("x", "validation_data"):
        if callable(function := named.get(name)):  # from an input context to a dataset
            named[name] = function(tf.distribute.InputContext())
    with on_chief.on_chief(model, model._distribute_strategy):
        return original(model, **named)


def make_function(method: str, original: Any, model: Any, force: bool = False) -> Any:
    """Make what Keras calls for a method: a program of the workers."""
    hooks = hooks_of(_strategy_of(model))
    if hooks is None:
        return original(model, force=force)
    return hooks.make_function(model, method, force)


def maybe_build(original: Any, model: Any, *args: Any, **kwargs: Any) -> None:
    """Leave it to the strategy to build its models."""
    if hooks_of(_strategy_of(model)) is None:
        original(model, *args, **kwargs)
