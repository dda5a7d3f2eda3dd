"""What one step of Keras's fit, evaluate and predict computes, and the programs made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfps import _keras
from tfps.step.apply import Optimizer
from tfps.step.program import Program, Step

MakeStep = Callable[[keras.Model], Step]
_PROGRAMS = "_tfps_programs"  # where a model keeps them; in __dict__, which Keras does not track


def training_step(model: keras.Model) -> Step:
    """Return what `keras.Model.train_step` does, without its updates."""

    def computation(batch: Any) -> tf.Tensor:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        y_pred = _keras.forward(model, x, training=True)
        return _keras.loss_and_metrics(model, x, y, y_pred, sample_weight)

    return Step(
        computation=computation,
        metric_variables=model.metrics_variables,
        optimizer=Optimizer(model.optimizer),
        trainable=model.trainable_variables,
    )


def evaluation_step(model: keras.Model) -> Step:
    """Return what `model.test_step` does."""

    def computation(batch: Any) -> tf.Tensor:
        model.test_step(batch)
        return tf.zeros([])

    return Step(computation=computation, metric_variables=model.metrics_variables)


def prediction_step(model: keras.Model) -> Step:
    """Return what `model.predict_step` does."""
    return Step(computation=model.predict_step)


def program(model: keras.Model, make_step: MakeStep, batch_spec: Any) -> Program:
    """Return the program of a step for batches of `batch_spec`, made anew after a compile."""
    compiled = _keras.compiled_parts(model)
    programs = model.__dict__.setdefault(_PROGRAMS, {})
    key = (make_step.__name__, str(batch_spec))
    known, _ = programs.get(key, (None, None))
    if known is None or any(a is not b for a, b in zip(known, compiled, strict=True)):
        programs[key] = compiled, Program(make_step(model), batch_spec)
    found: Program = programs[key][1]
    return found


def check_supported(model: keras.Model) -> None:
    """Refuse what would be ignored.

    Raises:
        NotImplementedError: if the model runs eagerly or has a `train_step` of its own.
    """
    if model.run_eagerly:
        raise NotImplementedError(
            "run_eagerly=True: the steps run on the workers, as functions. Compile the model "
            "without it; to debug, train it outside of the strategy's scope."
        )
    if type(model).train_step is not keras.Model.train_step:
        raise NotImplementedError(
            f"{type(model).__name__}.train_step: a train_step of your own differentiates by "
            "variables and updates them, which lie on the ps. Override compute_loss or "
            "compute_metrics, or give your step as a function of (model, batch) that returns the "
            "loss to strategy.loop."
        )
