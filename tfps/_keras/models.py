"""The parts of Keras's own fit, evaluate and predict that tfps calls, too."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.tensorflow.trainer import (
    TensorFlowTrainer,
    concat,
    convert_to_np_if_not_ragged,
    potentially_ragged_concat,
)
from keras.src.trainers.data_adapters import get_data_adapter
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from keras.src.trainers.data_adapters.array_slicing import train_validation_split
from keras.src.trainers.data_adapters.tf_dataset_adapter import make_class_weight_map_fn
from keras.src.utils.python_utils import pythonify_logs

__all__ = [
    "FUNCTIONS",
    "arrays_of",
    "build",
    "check_compiled",
    "concatenate",
    "data_adapter",
    "first_epoch",
    "joined",
    "make_class_weight_map_fn",
    "ordered_metrics",
    "overrides_function",
    "plain_logs",
    "should_evaluate",
    "train_validation_split",
]


FUNCTIONS = {
    "train_step": "train_function",
    "test_step": "test_function",
    "predict_step": "predict_function",
}
"""The attribute in which Keras caches its function for each method of a model.

Keras sets it to None when the function has become invalid: in compile and in quantize.
"""


def overrides_function(model: keras.Model, method: str) -> bool:
    """Whether the class of `model` makes the function for a method itself."""
    maker = f"make_{FUNCTIONS[method]}"
    return getattr(type(model), maker) is not getattr(TensorFlowTrainer, maker)


def check_compiled(model: keras.Model, method: str) -> None:
    """Raise ValueError, which names `method`, if `model` is not compiled."""
    model._assert_compile_called(method)


def first_epoch(model: keras.Model, initial_epoch: int) -> int:
    """Return the epoch to start with: `initial_epoch`, or where BackupAndRestore continues."""
    return int(model._initial_epoch or initial_epoch)


def should_evaluate(model: keras.Model, epoch: int, validation_freq: int | list[int]) -> bool:
    """Whether fit evaluates after `epoch`."""
    return bool(model._should_eval(epoch, validation_freq))


def plain_logs(logs: dict[str, Any]) -> dict[str, Any]:
    """Return `logs` as callbacks see them: floats where possible, without nested dictionaries."""
    return dict(pythonify_logs(logs))


def ordered_metrics(model: keras.Model, logs: dict[str, Any]) -> Any:
    """Return `logs` as `evaluate` does: the loss, or a list of the loss and the metrics."""
    return model._flatten_metrics_in_order(logs)


def build(model: keras.Model, batch_spec: Any, *, compiled: bool) -> None:
    """Create the variables of `model` that it does not have yet.

    To be called in the scope of its strategy.

    Args:
        model: the model.
        batch_spec: the type of a batch of its data, also of sparse and ragged tensors and of None.
        compiled: whether to create those of its optimizer, loss and metrics, too.
    """
    compiled_parts = [model._compile_metrics, model._compile_loss] if compiled else []
    parts = [part for part in compiled_parts if part is not None and not part.built]
    if parts or not all(layer.built for layer in model._flatten_layers()):
        try:
            keras.src.backend.compute_output_spec(lambda: _call(model, batch_spec, parts))
        except Exception:
            # A train_step of the user's own may not need what is built here.
            if type(model).train_step is keras.Model.train_step:
                raise
            return
    if compiled and model.optimizer is not None and not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def _call(model: keras.Model, batch_spec: Any, parts: list[Any]) -> None:
    """Call a model, its metrics and its loss, each if it is in `parts`, on no data at all."""
    tensors = [
        tf.compat.v1.placeholder(spec.dtype, spec.shape)
        for spec in tf.nest.flatten(batch_spec, expand_composites=True)
    ]
    batch = tf.nest.pack_sequence_as(batch_spec, tensors, expand_composites=True)
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    y_pred = model(x, training=False)
    if model._compile_metrics in parts:
        model.compute_metrics(x, y, y_pred, sample_weight=sample_weight)
    if model._compile_loss in parts:
        model._compute_loss(x, y, y_pred, sample_weight=sample_weight, training=False)


def data_adapter(x: Any, y: Any, sample_weight: Any, **settings: Any) -> Any:
    """Return what Keras itself would read data by.

    Args:
        x: the data.
        y: the targets.
        sample_weight: the weights.
        **settings: batch_size, steps_per_epoch, shuffle and class_weight, as of fit.

    Raises:
        ValueError: if Keras cannot read it.
    """
    with warnings.catch_warnings():
        # Keras says so also where nobody has asked for it: it is the default of fit.
        warnings.filterwarnings("ignore", "`shuffle=True` was passed, but will be ignored")
        return get_data_adapter(x, y, sample_weight=sample_weight, **settings)


def arrays_of(adapter: Any) -> tuple[Any, int, bool | str] | None:
    """Return the arrays of an adapter, the batch size, and how to shuffle; None if it has none."""
    if not isinstance(adapter, ArrayDataAdapter):
        return None
    return adapter._inputs, adapter.batch_size, adapter._shuffle


def joined(batches: list[Any]) -> Any:
    """Return the outputs of several batches as one, as `predict` shows them to callbacks."""
    if len(batches) == 1:
        return batches[0]
    return keras.tree.map_structure(lambda *pieces: concat(list(pieces)), *batches)


def concatenate(batches: list[Any]) -> Any:
    """Return the outputs of batches joined as by `predict`: NumPy arrays or ragged tensors."""
    joined = keras.tree.map_structure(
        lambda *pieces: potentially_ragged_concat(list(pieces)), *batches
    )
    return keras.tree.map_structure(convert_to_np_if_not_ragged, joined)
