"""The parts of Keras's own fit, evaluate and predict that tfps's call, too."""

from __future__ import annotations

from typing import Any

import keras
from keras.src.backend.tensorflow.trainer import (
    convert_to_np_if_not_ragged,
    potentially_ragged_concat,
)
from keras.src.trainers.data_adapters.array_slicing import train_validation_split
from keras.src.trainers.data_adapters.tf_dataset_adapter import make_class_weight_map_fn

__all__ = [
    "build",
    "check_compiled",
    "concatenate",
    "first_epoch",
    "make_class_weight_map_fn",
    "ordered_metrics",
    "should_evaluate",
    "train_validation_split",
]


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
