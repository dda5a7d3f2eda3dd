"""Every private name of Keras that tfps touches, and nothing else of tfps.

tests/unit/test_private_keras.py fails, naming the row, when a Keras release moves one of them.

| name | why |
| --- | --- |
| `backend.tensorflow.core.Variable._initialize_with_initializer`, `_value`, `_shape`, `_dtype`, `_map_aggregation`, `_map_synchronization` | it gives tf.Variable a lambda that hides the shape, so that a partitioner could only slice a value made whole on the chief |
| `backend.tensorflow.numpy.take` | every embedding lookup ends here; on a ps-held table it would pull the whole table |
| `trainers.trainer.Trainer.compile`, `backend.tensorflow.trainer.TensorFlowTrainer.fit`, `evaluate`, `predict`, `*_on_batch`, `_distribute_strategy` | Keras's training loop has no word for parameter servers; the model remembers the strategy of its scope here |
| `TensorFlowTrainer._symbolic_build`, `_initial_epoch`, `_should_eval`, `_flatten_metrics_in_order`, `_assert_compile_called` | what Keras's own fit and evaluate call |
| `backend.common.stateless_scope.get_stateless_scope`, `in_stateless_scope` | which scope a `take`, a gradient or an update happens in |
| `backend.tensorflow.core.Variable._direct_assign` | frozen parameters that the chief assigns are pulled again |
| `backend.tensorflow.core.Variable.handle` | a tape's gradient by a variable is the gradient by this |
| `BaseOptimizer.apply`, `LossScaleOptimizer.apply` | what a `train_step` updates is pushed to the ps instead |
| `backend.tensorflow.optimizer.TFOptimizer._var_key` | it asks for the variable's value, which in a step is a tensor |
| `BaseOptimizer._filter_empty_gradients`, `_clip_gradients`, `_use_weight_decay`, `_learning_rate`, `_iterations`, `_trainable_variables`, `_backend_update_step`, `_model_variables_moving_average`, `_check_variables_are_known` | the parts of `BaseOptimizer.apply` that run on the worker and on the ps instead |
| `BaseOptimizer._get_variable_index`, the lists of `_SLOTS`, `Nadam._u_product` | what an update in one op reads and writes |
| `trainers.data_adapters.array_slicing.train_validation_split`, `tf_dataset_adapter.make_class_weight_map_fn` | `validation_split` and `class_weight` with Keras's meaning |
| `SwapEMAWeights._tf_swap_variables`, `_tf_finalize_ema_values`, `TFOptimizer._distribution_strategy` | they update variables that may be sharded |
| `keras_hub.src.utils.pipeline_model.PipelineModel` | keras-nlp's tasks map their preprocessor over the data before Keras sees it |
| the name `seed_generator_state` of a SeedGenerator's variable | seeds are local to a worker |
"""  # noqa: E501

from __future__ import annotations

import abc
import functools
import importlib.metadata
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.common.stateless_scope import get_stateless_scope, in_stateless_scope
from keras.src.backend.tensorflow import core as keras_core
from keras.src.backend.tensorflow import numpy as keras_numpy
from keras.src.backend.tensorflow.optimizer import TFOptimizer
from keras.src.backend.tensorflow.trainer import (
    TensorFlowTrainer,
    convert_to_np_if_not_ragged,
    potentially_ragged_concat,
)
from keras.src.optimizers.base_optimizer import BaseOptimizer
from keras.src.trainers.data_adapters.array_slicing import train_validation_split
from keras.src.trainers.data_adapters.tf_dataset_adapter import make_class_weight_map_fn
from keras.src.trainers.trainer import Trainer
from keras_hub.src.utils.pipeline_model import PipelineModel

__all__ = [
    "KerasStrategy",
    "StepScope",
    "assignments",
    "build",
    "check_compiled",
    "clip_gradients",
    "concatenate",
    "decays",
    "first_epoch",
    "global_step_variable",
    "has_shared_update",
    "install",
    "is_seed_state",
    "learning_rate_variable",
    "make_class_weight_map_fn",
    "moving_averages",
    "native",
    "note_assignments",
    "optimized_variables",
    "ordered_metrics",
    "shared_variables",
    "should_evaluate",
    "slots",
    "train_validation_split",
    "update_shared",
    "with_gradients",
    "without_wrappers",
]


TESTED_VERSIONS = {"tensorflow": "2.21", "keras": "3.15", "keras-hub": "0.32"}


class KerasStrategy(abc.ABC):
    """A tf.distribute strategy that takes over from Keras what Keras cannot do under it."""

    @abc.abstractmethod
    def initial_value(
        self, initializer: Callable[..., Any], shape: tuple[int, ...], dtype: str
    ) -> Callable[..., tf.Tensor]:
        """Return the callable that makes a variable's value, or a shard's, where it lies."""

    @abc.abstractmethod
    def check_optimizer(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Refuse an optimizer that a model is compiled with, if it cannot be used here."""

    @abc.abstractmethod
    def swap_averages(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Exchange the variables of `optimizer` and their moving averages."""

    @abc.abstractmethod
    def reset_averages(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Set the moving averages to the variables."""

    @abc.abstractmethod
    def fit(self, model: keras.Model, **arguments: Any) -> keras.callbacks.History:
        """Train `model`; `arguments` are those of `keras.Model.fit`, and `preprocess`."""

    @abc.abstractmethod
    def evaluate(self, model: keras.Model, **arguments: Any) -> Any:
        """Evaluate `model`; `arguments` are those of `keras.Model.evaluate`, and `preprocess`."""

    @abc.abstractmethod
    def predict(self, model: keras.Model, **arguments: Any) -> Any:
        """Predict by `model`; `arguments` are those of `keras.Model.predict`, and `preprocess`."""


class StepScope(keras.StatelessScope):
    """A stateless scope in which a `train_step` runs without touching the variables.

    It answers lookups of rows itself, and takes what the step's optimizers would apply.
    """

    def __init__(self) -> None:
        super().__init__(collect_losses=True, initialize_variables=False)

    @abc.abstractmethod
    def source(self, variable: keras.Variable) -> tf.Tensor:
        """Return the tensor that a tape's gradient by `variable` is taken by."""

    @abc.abstractmethod
    def apply(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: Sequence[Any],
        variables: Sequence[keras.Variable],
    ) -> None:
        """Take what `optimizer.apply` was called with."""

    @abc.abstractmethod
    def take(self, variable: keras.Variable, indices: Any) -> tf.Tensor | None:
        """Return `variable[indices]` of shape `indices.shape + variable.shape[1:]`.

        None where the scope wants Keras to look the rows up in the whole value.
        """


@functools.cache
def install() -> None:
    """Put tfps's answers in front of Keras's, once per process.

    Every replacement asks first whether a tfps strategy is concerned, and calls Keras's own
    function where none is: models outside of a tfps scope see no difference.
    """
    _warn_of_untested_versions()
    _wrap(keras_core.Variable, "_initialize_with_initializer", _initialize_where_it_lies)
    _wrap(keras_numpy, "take", _take_rows)
    _wrap(keras_core.Variable, "_direct_assign", _count_assignment)
    swap_callback = keras.callbacks.SwapEMAWeights
    _wrap(swap_callback, "_tf_swap_variables", functools.partial(_average, "swap_averages"))
    _wrap(swap_callback, "_tf_finalize_ema_values", functools.partial(_average, "reset_averages"))
    handle = keras_core.Variable.handle.fget
    keras_core.Variable.handle = property(functools.partial(_handle, handle))
    _wrap(BaseOptimizer, "apply", _apply)
    _wrap(keras.optimizers.LossScaleOptimizer, "apply", _apply)
    _wrap(TFOptimizer, "_var_key", _var_key)
    for name in ("fit", "evaluate", "predict"):
        _wrap(TensorFlowTrainer, name, functools.partial(_hand_over, name))
        _wrap(PipelineModel, name, functools.partial(_hand_over_with_preprocessor, name))
    _wrap(keras.Model, "quantize", _in_scope)
    _wrap(Trainer, "compile", _compile)
    for name in ("train_on_batch", "test_on_batch", "predict_on_batch"):
        _wrap(TensorFlowTrainer, name, functools.partial(_refuse, name))


def _warn_of_untested_versions() -> None:
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


def _initialize_where_it_lies(original: Any, variable: Any, initializer: Any) -> None:
    strategy = tf.distribute.get_strategy()
    if not isinstance(strategy, KerasStrategy):
        original(variable, initializer)
        return
    shape = tuple(variable._shape)
    # Not by variable._initialize: it would copy a ShardedVariable, which is no tf.Variable.
    variable._value = tf.Variable(
        strategy.initial_value(initializer, shape, variable._dtype),
        shape=shape,
        dtype=tf.as_dtype(variable._dtype),  # partitioners ask for its size
        trainable=variable.trainable,
        name=variable.name,
        aggregation=variable._map_aggregation(variable.aggregation),
        synchronization=variable._map_synchronization(variable.synchronization),
    )


_noted: set[int] = set()
_assignments = 0


def note_assignments(variables: Sequence[keras.Variable]) -> None:
    """Count from now on what is assigned to these variables on the chief."""
    _noted.update(map(id, variables))


def assignments() -> int:
    """Return how often the chief has assigned to a variable whose assignments are noted."""
    return _assignments


def _count_assignment(original: Any, variable: Any, value: Any) -> None:
    global _assignments
    original(variable, value)
    if id(variable) in _noted:
        _assignments += 1


def _take_rows(original: Any, x: Any, indices: Any, axis: int | None = None) -> Any:
    scope = _step_scope()
    if axis == 0 and scope is not None and isinstance(x, keras.Variable):
        rows = _rows(scope, x, indices)
        if rows is not None:
            return rows
    return original(x, indices, axis=axis)


def _rows(scope: StepScope, table: keras.Variable, indices: Any) -> Any:
    if isinstance(indices, tf.RaggedTensor):
        rows = scope.take(table, indices.flat_values)
        return None if rows is None else indices.with_flat_values(rows)
    if isinstance(indices, tf.SparseTensor):  # as in Keras, what is missing has the first row
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
        original(optimizer, grads, trainable_variables)
        return
    if trainable_variables is None:
        trainable_variables = optimizer._trainable_variables
    scope.apply(optimizer, list(grads), list(trainable_variables))


def _var_key(original: Any, optimizer: Any, variable: Any) -> Any:
    if isinstance(variable, keras.Variable) and _step_scope() is not None:
        variable = native(variable)
    return original(optimizer, variable)


def _step_scope() -> StepScope | None:
    scope = get_stateless_scope() if in_stateless_scope() else None
    return scope if isinstance(scope, StepScope) else None


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


def _average(name: str, original: Any, callback: Any, optimizer: Any) -> None:
    strategy = optimizer._distribution_strategy
    if isinstance(strategy, KerasStrategy):
        getattr(strategy, name)(optimizer)
    else:
        original(callback, optimizer)


def _compile(original: Any, model: Any, *args: Any, **kwargs: Any) -> None:
    _in_scope(original, model, *args, **kwargs)  # where Keras looks whether it is its own
    strategy = model._distribute_strategy
    if isinstance(strategy, KerasStrategy) and model.optimizer is not None:
        strategy.check_optimizer(model.optimizer)


def _in_scope(original: Any, model: Any, *args: Any, **kwargs: Any) -> None:
    strategy = _strategy_of(model)
    if not isinstance(strategy, KerasStrategy):
        original(model, *args, **kwargs)
        return
    with strategy.scope():  # type: ignore[attr-defined]
        original(model, *args, **kwargs)


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


def _hand_over(name: str, original: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
    strategy = _strategy_of(model)
    if not isinstance(strategy, KerasStrategy):
        return original(model, *args, **kwargs)
    named = dict(zip(_POSITIONAL[name], args, strict=False))
    return getattr(strategy, name)(model, **named, **kwargs)


def _hand_over_with_preprocessor(
    name: str, original: Any, model: Any, *args: Any, **kwargs: Any
) -> Any:
    strategy = _strategy_of(model)
    if not isinstance(strategy, KerasStrategy):
        return original(model, *args, **kwargs)
    named = dict(zip(_POSITIONAL_WITH_PREPROCESSOR[name], args, strict=False))
    return getattr(strategy, name)(model, preprocess=model.preprocess_samples, **named, **kwargs)


def _refuse(name: str, original: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
    if not isinstance(model._distribute_strategy, KerasStrategy):
        return original(model, *args, **kwargs)
    raise NotImplementedError(
        f"Model.{name}: one batch from the chief is not supported under a "
        "tfps.ParameterServerStrategy. Use fit, evaluate or predict, or strategy.loop for a loop "
        "of your own."
    )


def check_compiled(model: keras.Model, method: str) -> None:
    """Raise ValueError if `model`, on which `method` was called, is not compiled."""
    model._assert_compile_called(method)


def first_epoch(model: keras.Model, initial_epoch: int) -> int:
    """Return the epoch to begin with: `initial_epoch`, or where BackupAndRestore left off."""
    return int(model._initial_epoch or initial_epoch)


def should_evaluate(model: keras.Model, epoch: int, validation_freq: int | list[int]) -> bool:
    """Whether fit evaluates after `epoch`."""
    return bool(model._should_eval(epoch, validation_freq))


def ordered_metrics(model: keras.Model, logs: dict[str, Any]) -> Any:
    """Return what `evaluate` returns: the loss alone, or a list of it and the metrics."""
    return model._flatten_metrics_in_order(logs)


def build(model: keras.Model, batch_spec: Any, *, compiled: bool) -> None:
    """Make all variables of `model` that are not made yet.

    To be called in the scope of its strategy.

    Args:
        model: the model.
        batch_spec: the type of a batch of its data.
        compiled: whether to make those of its optimizer, loss and metrics, too.
    """
    if compiled:
        try:
            model._symbolic_build(data_batch=batch_spec)
        except (NotImplementedError, RuntimeError, ValueError):
            # A model with a train_step of its own may do without what is built here.
            if type(model).train_step is keras.Model.train_step:
                raise
    elif not model.built:
        x, _, _ = keras.utils.unpack_x_y_sample_weight(batch_spec)
        inputs = keras.tree.map_structure(lambda s: keras.KerasTensor(s.shape, s.dtype.name), x)
        keras.src.backend.compute_output_spec(model, inputs, training=False)


def concatenate(batches: list[Any]) -> Any:
    """Concatenate the outputs of batches as `predict` does: NumPy arrays, ragged where they are."""
    joined = keras.tree.map_structure(lambda *pieces: potentially_ragged_concat(pieces), *batches)
    return keras.tree.map_structure(convert_to_np_if_not_ragged, joined)


def native(variable: keras.Variable) -> Any:
    """Return the tf.Variable or ShardedVariable behind `variable`, whatever scope is active."""
    return variable._value


def optimized_variables(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Return the variables that `optimizer` was built for."""
    return list(optimizer._trainable_variables)


def with_gradients(
    optimizer: keras.optimizers.Optimizer, gradients: Sequence[tuple[keras.Variable, Any]]
) -> tuple[list[keras.Variable], list[tf.Tensor]]:
    """Return the variables that have a gradient, and those, with Keras's warning about the rest.

    Raises:
        ValueError: if none has, or the optimizer was built without one of the variables.
    """
    optimizer._check_variables_are_known([variable for variable, _ in gradients])
    found, variables = optimizer._filter_empty_gradients(
        [gradient for _, gradient in gradients], [variable for variable, _ in gradients]
    )
    return list(variables), list(found)


def clip_gradients(
    optimizer: keras.optimizers.Optimizer, gradients: list[tf.Tensor]
) -> list[tf.Tensor]:
    """Clip by norm, global norm or value, as the optimizer says."""
    return list(optimizer._clip_gradients(gradients))


def decays(optimizer: keras.optimizers.Optimizer, variable: Any) -> bool:
    """Whether the optimizer decays a variable, known by its `name` and `_unique_id`."""
    return optimizer.weight_decay is not None and optimizer._use_weight_decay(variable)


def without_wrappers(
    optimizer: keras.optimizers.Optimizer | None,
) -> list[keras.optimizers.Optimizer]:
    """Return the optimizers that update variables themselves, in `optimizer`."""
    if optimizer is None:
        return []
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return [optimizer.inner_optimizer]
    if isinstance(optimizer, keras.optimizers.MultiOptimizer):
        return list(optimizer.optimizers)
    return [optimizer]


def global_step_variable(optimizer: keras.optimizers.Optimizer) -> keras.Variable:
    """Return the variable that counts the optimizer's updates."""
    return optimizer._iterations


def has_shared_update(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether a step updates more than each variable by itself, as Nadam does."""
    return type(optimizer)._backend_update_step is not TFOptimizer._backend_update_step


def update_shared(optimizer: keras.optimizers.Optimizer, rate: tf.Tensor) -> None:
    """Do what a step of `optimizer` does once, beside updating the variables."""
    optimizer._backend_update_step([], [], rate)


def shared_variables(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Return what `update_shared` updates."""
    return [optimizer._u_product] if isinstance(optimizer, keras.optimizers.Nadam) else []


_SLOTS = {
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


def slots(optimizer: keras.optimizers.Optimizer, variable: Any) -> list[keras.Variable]:
    """Return the slot variables of a variable, known by its `_unique_id`, in the order above."""
    (names,) = (names for c, names in _SLOTS.items() if isinstance(optimizer, c))
    lists = [getattr(optimizer, name, None) for name in names]  # some only with an option
    index = optimizer._get_variable_index(variable)
    return [found[index] for found in lists if found]


def moving_averages(
    optimizer: keras.optimizers.Optimizer,
) -> list[tuple[keras.Variable, keras.Variable]]:
    """Return the variables that have a moving average, each with it; none without `use_ema`."""
    if not optimizer.use_ema:
        return []
    averages = optimizer._model_variables_moving_average
    pairs = zip(optimizer._trainable_variables, averages, strict=True)
    return [(variable, average) for variable, average in pairs if average is not None]


def learning_rate_variable(optimizer: keras.optimizers.Optimizer) -> keras.Variable | None:
    """Return the variable that holds the learning rate, None under a schedule."""
    rate = optimizer._learning_rate
    return rate if isinstance(rate, keras.Variable) else None


def is_seed_state(variable: keras.Variable) -> bool:
    """Whether `variable` is the state of a `keras.random.SeedGenerator`."""
    return bool(variable.name == "seed_generator_state")
