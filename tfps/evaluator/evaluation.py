"""Evaluate a model, and write the results for TensorBoard."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf


class Evaluation:
    """Evaluates one model on the same data repeatedly."""

    def __init__(
        self,
        model: keras.Model,
        data: Any,
        steps: int | None,
        callbacks: Sequence[keras.callbacks.Callback],
        log_dir: str,
    ) -> None:
        """Take the arguments of SidecarEvaluator that have these names."""
        self._model = model
        self._data_or_function = data
        self._steps = steps
        self._callbacks = list(callbacks)
        self._writer = tf.summary.create_file_writer(log_dir)

    def build(self) -> None:
        """Build the model from a batch of the data, unless it is built."""
        if not self._model.built:
            self._evaluate(steps=1)

    def run(self, step: int) -> dict[str, Any]:
        """Evaluate the model; return the results as numbers or lists of numbers.

        Scalar results are also written for TensorBoard, in the form of Keras's own callback.

        Args:
            step: The step of the model's weights.
        """
        if self._model.optimizer is not None:
            self._model.optimizer.iterations.assign(step)
        results = self._evaluate(steps=self._steps, callbacks=self._callbacks)
        with self._writer.as_default():
            for name, value in scalars(results).items():
                _write_scalar(f"evaluation_{name}_vs_iterations", value, step)
        self._writer.flush()
        return results

    def _evaluate(self, **arguments: Any) -> dict[str, Any]:
        parts = self._data if isinstance(self._data, tuple) else (self._data,)
        data = dict(zip(("x", "y", "sample_weight"), parts, strict=False))
        with warnings.catch_warnings():
            # Keras warns at the end of every dataset of unknown length.
            warnings.filterwarnings("ignore", "Your input ran out of data")
            results = self._model.evaluate(**data, return_dict=True, verbose=0, **arguments)
        return {name: np.asarray(value, dtype=float).tolist() for name, value in results.items()}

    @functools.cached_property
    def _data(self) -> Any:
        # The default context: this one process reads the data of all workers.
        data = self._data_or_function
        return data(tf.distribute.InputContext()) if callable(data) else data


def scalars(results: Mapping[str, Any]) -> dict[str, float]:
    """Return the results that are single numbers."""
    return {name: value for name, value in results.items() if isinstance(value, float)}


def _write_scalar(tag: str, value: float, step: int) -> None:
    # The same event as tf.summary.scalar writes, which would need the tensorboard package.
    metadata = tf.compat.v1.SummaryMetadata(
        plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
    )
    tf.summary.write(tag, tf.constant(value, tf.float32), step=step, metadata=metadata)
