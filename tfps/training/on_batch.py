"""What a model has in place of Keras's train, test and predict functions: programs of workers."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Literal

import keras
import tensorflow as tf

from tfps import _keras
from tfps._tensorflow import is_composite
from tfps.step.program import WorkerProgram
from tfps.training.feed import Feed
from tfps.training.outputs import Outputs

Method = Literal["train_step", "test_step", "predict_step"]
"""The method of a model that a batch goes through, in fit, evaluate and predict."""

RunBatch = Callable[[keras.Model, Method, Any, Any], Any]
"""Runs a method of a model on a batch, whose type is the last argument."""


class BatchFunction:
    """The programs of one method of a model; as a function, it runs them on single batches.

    Keras's `train_on_batch`, `test_on_batch` and `predict_on_batch` call it.

    Attributes:
        by_spec: the programs, by the type of a batch.
        outputs: what their steps return, by the same.
        feeds: a list for single batches, and the feed that reads it, by the same.
    """

    def __init__(self, model: keras.Model, method: Method, run: RunBatch) -> None:
        self.by_spec: dict[str, WorkerProgram] = {}
        self.outputs: dict[str, Outputs] = {}
        self.feeds: dict[str, tuple[list[Any], Feed]] = {}
        self._model = weakref.ref(model)
        self._method = method
        self._run = run
        self._spec: Any = None

    def __call__(self, batches: Any) -> Any:
        """Run one batch, the first of `batches`, on one worker.

        Returns:
            Its logs, or the outputs of `predict_step`.

        Raises:
            StopIteration: if there is none.
        """
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(next(iter(batches)))
        packed = keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
        batch = keras.tree.map_structure(_as_tensor, keras.tree.lists_to_tuples(packed))
        self._spec = _common(self._spec, _any_size(batch))
        model = self._model()
        assert model is not None
        return self._run(model, self._method, batch, self._spec)


def batch_function(model: keras.Model, method: Method, run: RunBatch) -> BatchFunction:
    """Return the model's function for a method; the first call after a compile makes it.

    Raises:
        NotImplementedError: if the model has a function of its own.
    """
    name = _keras.FUNCTIONS[method]
    function = getattr(model, name)
    own = f"make_{name}" if _keras.overrides_function(model, method) else name
    if own != name or not (function is None or isinstance(function, BatchFunction)):
        raise NotImplementedError(
            f"Model {model.name!r} has a {own} of its own. It is a function of the chief's "
            f"process, but steps run on the workers. Override {method} instead, or compile the "
            "model with run_eagerly=True, which runs your function on the chief, for debugging."
        )
    if function is None:
        function = BatchFunction(model, method, run)
        setattr(model, name, function)
    return function


def _as_tensor(value: Any) -> Any:
    return value if value is None or is_composite(value) else tf.convert_to_tensor(value)


def _any_size(batch: Any) -> Any:
    """Return the type of batches like `batch`, with any number of examples."""

    def any_size(value: Any) -> tf.TypeSpec:
        spec = tf.type_spec_from_value(value)
        if isinstance(spec, tf.NoneTensorSpec) or not spec.shape.rank:
            return spec
        shape = [None, *spec.shape[1:]]
        if isinstance(spec, tf.TensorSpec):
            return tf.TensorSpec(shape, spec.dtype)
        if isinstance(spec, tf.SparseTensorSpec):
            return tf.SparseTensorSpec(shape, spec.dtype)
        if isinstance(spec, tf.RaggedTensorSpec):
            return tf.RaggedTensorSpec(shape, spec.dtype, spec.ragged_rank, spec.row_splits_dtype)
        return spec

    return keras.tree.map_structure(any_size, batch)


def _common(known: Any, new: Any) -> Any:
    """Return a type for batches of both types; the new one if there is none."""
    if known is None:
        return new
    try:
        keras.tree.assert_same_structure(known, new)
    except (TypeError, ValueError):
        return new
    pairs = zip(keras.tree.flatten(known), keras.tree.flatten(new), strict=True)
    common = [old.most_specific_common_supertype([spec]) for old, spec in pairs]
    return new if None in common else keras.tree.pack_sequence_as(new, common)
