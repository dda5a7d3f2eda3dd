"""Replacing functions of Keras that tfps strategies answer themselves."""

from __future__ import annotations

import functools
import importlib.metadata
import warnings
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.common.stateless_scope import get_stateless_scope, in_stateless_scope
from keras.src.backend.tensorflow import core as keras_core
from keras.src.backend.tensorflow import nn as keras_nn
from keras.src.backend.tensorflow import numpy as keras_numpy
from keras.src.backend.tensorflow.optimizer import TFOptimizer
from keras.src.backend.tensorflow.trainer import TensorFlowTrainer
from keras.src.optimizers.base_optimizer import BaseOptimizer
from keras.src.trainers.trainer import Trainer
from keras_hub.src.utils.pipeline_model import PipelineModel

from tfps._keras import on_chief, trainer
from tfps._keras.interface import StepScope, hooks_of
from tfps._keras.models import FUNCTIONS
from tfps._keras.variables import count_assignment, native

TESTED_VERSIONS = {"tensorflow": "2.21", "keras": "3.15", "keras-hub": "0.32"}


@functools.cache
def install() -> None:
    """Put tfps's functions in front of Keras's, once per process.

    Each replacement first checks whether a tfps strategy is concerned. If not, it calls Keras's own
    function: models outside of a tfps scope see no difference.
    """
    warn_of_untested_versions()
    _wrap(keras_core.Variable, "_initialize_with_initializer", _initialize_on_ps)
    _wrap(keras_numpy, "take", _take_rows)
    _wrap(keras_nn, "conv", _convolve)
    _wrap(keras_core.Variable, "_direct_assign", count_assignment)
    swap_callback = keras.callbacks.SwapEMAWeights
    _wrap(swap_callback, "_tf_swap_variables", functools.partial(_average, "swap_averages"))
    _wrap(swap_callback, "_tf_finalize_ema_values", functools.partial(_average, "reset_averages"))
    handle = keras_core.Variable.handle.fget
    keras_core.Variable.handle = property(functools.partial(_handle, handle))
    _wrap(BaseOptimizer, "apply", _apply)
    _wrap(keras.optimizers.LossScaleOptimizer, "apply", _apply)
    _wrap(TFOptimizer, "_var_key", _var_key)
    _wrap(TFOptimizer, "add_variable_from_reference", _add_slot)
    for name in _DISTRIBUTED:
        _wrap(TFOptimizer, name, functools.partial(_update_plainly, getattr(BaseOptimizer, name)))
    loss_scale = keras.optimizers.LossScaleOptimizer
    _wrap(loss_scale, "_tf_apply", functools.partial(_update_plainly, loss_scale._common_apply))
    for name in ("fit", "evaluate", "predict"):
        _wrap(TensorFlowTrainer, name, functools.partial(trainer.hand_over, name))
        with_preprocessor = functools.partial(trainer.hand_over, name, preprocesses=True)
        _wrap(PipelineModel, name, with_preprocessor)
    _wrap(keras.Model, "quantize", trainer.in_scope)
    _wrap(keras.Model, "__call__", trainer.first_call)
    _wrap(keras.Model, "build", trainer.in_scope)
    _wrap(keras.Sequential, "build", trainer.in_scope)
    _wrap(keras_core.Variable, "_deferred_initialize", _initialize_once)
    _wrap(keras_core.Variable, "_serialize_to_tensors", _serialize)
    _wrap(Trainer, "compile", trainer.compile_model)
    for name in ("train_on_batch", "test_on_batch", "predict_on_batch"):
        _wrap(TensorFlowTrainer, name, trainer.on_batch)
    for method, name in FUNCTIONS.items():
        _wrap(TensorFlowTrainer, f"make_{name}", functools.partial(trainer.make_function, method))
    _wrap(TensorFlowTrainer, "_maybe_symbolic_build", trainer.maybe_build)


def warn_of_untested_versions() -> None:
    """Warn of each package in `TESTED_VERSIONS` of which another version is installed."""
    installed = {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "keras-hub": importlib.metadata.version("keras-hub"),
    }
    for package, tested in TESTED_VERSIONS.items():
        if not installed[package].startswith(f"{tested}."):
            warnings.warn(
                f"tfps is tested with {package} {tested}, and {installed[package]} is installed. "
                f"It uses private names: install '{package}=={tested}.*' if something fails.",
                stacklevel=4,
            )


def _wrap(owner: Any, name: str, replacement: Callable[..., Any]) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return replacement(original, *args, **kwargs)

    setattr(owner, name, wrapper)


def _initialize_on_ps(original: Any, variable: Any, initializer: Any) -> None:
    hooks = hooks_of(tf.distribute.get_strategy())
    if hooks is None and on_chief.copies() is None:
        original(variable, initializer)
        return
    if hooks is None:
        on_chief.initialize(variable, lambda: _initialize_on_ps(original, variable, initializer))
        return
    shape = tuple(variable._shape)
    # Not by variable._initialize: it would copy a ShardedVariable, which is not a tf.Variable.
    variable._value = tf.Variable(
        hooks.initial_value(initializer, shape, variable._dtype),
        shape=shape,
        dtype=tf.as_dtype(variable._dtype),  # partitioners ask for its size
        trainable=variable.trainable,
        name=variable.name,
        aggregation=variable._map_aggregation(variable.aggregation),
        synchronization=variable._map_synchronization(variable.synchronization),
    )


def _take_rows(original: Any, x: Any, indices: Any, axis: int | None = None) -> Any:
    scope = _step_scope()
    if axis == 0 and scope is not None and isinstance(x, keras.Variable):
        rows = _rows(scope, x, indices)
        if rows is not None:
            return rows
    return original(x, indices, axis=axis)


def _convolve(original: Any, inputs: Any, kernel: Any, *args: Any, **kwargs: Any) -> Any:
    if isinstance(kernel, keras.Variable) and not in_stateless_scope():
        # Keras compiles some convolutions by XLA, which cannot read a variable of another task.
        kernel = tf.convert_to_tensor(kernel)
    return original(inputs, kernel, *args, **kwargs)


def _rows(scope: StepScope, table: keras.Variable, indices: Any) -> Any:
    if isinstance(indices, tf.RaggedTensor):
        rows = scope.take(table, indices.flat_values)
        return None if rows is None else indices.with_flat_values(rows)
    if isinstance(indices, tf.SparseTensor):  # as in Keras, missing values have the first row
        dense = tf.sparse.to_dense(indices, validate_indices=False)
        dense.set_shape(indices.shape)
        indices = dense
    return scope.take(table, indices)


def _handle(original: Any, variable: Any) -> Any:
    scope = _step_scope()
    return original(variable) if scope is None else scope.source(variable)


def _apply(original: Any, optimizer: Any, grads: Any, trainable_variables: Any = None) -> None:
    scope = _step_scope()
    if scope is None:
        if (copies := on_chief.copies()) is not None:
            copies.add_optimizer(optimizer)
        original(optimizer, grads, trainable_variables)
        return
    if trainable_variables is None:
        trainable_variables = optimizer._trainable_variables
    scope.apply(optimizer, list(grads), list(trainable_variables))


# What Keras's optimizers do by tf.distribute, and without it in `BaseOptimizer`.
_DISTRIBUTED = (
    "_apply_weight_decay",
    "_backend_increment_gradient_accumulators",
    "_backend_update_step",
    "_overwrite_model_variables_with_average_value",
)


def _update_plainly(plain: Any, original: Any, optimizer: Any, *args: Any, **kwargs: Any) -> None:
    """Update without tf.distribute where the chief itself applies an optimizer, in the scope."""
    chief = hooks_of(tf.distribute.get_strategy()) and tf.distribute.in_cross_replica_context()
    (plain if chief else original)(optimizer, *args, **kwargs)


def _var_key(original: Any, optimizer: Any, variable: Any) -> Any:
    if isinstance(variable, keras.Variable) and _step_scope() is not None:
        variable = native(variable)
    return original(optimizer, variable)


def in_step() -> bool:
    """Whether a `train_step`, or a step of another kind, is being traced."""
    return _step_scope() is not None


def _add_slot(original: Any, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
    copies = on_chief.copies()
    if copies is None or hooks_of(tf.distribute.get_strategy()) is not None:
        return original(optimizer, *args, **kwargs)
    return copies.add_slot(optimizer, lambda: original(optimizer, *args, **kwargs))


def _step_scope() -> StepScope | None:
    scope = get_stateless_scope() if in_stateless_scope() else None
    return scope if isinstance(scope, StepScope) else None


def _average(name: str, original: Any, callback: Any, optimizer: Any) -> None:
    hooks = hooks_of(optimizer._distribution_strategy)
    if hooks is None:
        original(callback, optimizer)
    else:
        getattr(hooks, name)(optimizer)


def _initialize_once(original: Any, variable: Any) -> None:
    if variable._value is None:  # a checkpoint that waited for the variable may have come first
        original(variable)


def _serialize(original: Any, variable: Any) -> Any:
    if variable._value is None:  # a checkpoint that waits for it asks what is to be restored
        with tf.init_scope():
            variable._initialize_with_initializer(variable._initializer)
            variable._initializer = None
    return original(variable)
