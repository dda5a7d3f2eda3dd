"""Evaluate a model as it is now, and write the results for TensorBoard."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf


class Evaluation:
    """Evaluates one model on the same data again and again."""

    def __init__(
        self,
        model: keras.Model,
        data: Any,
        steps: int | None,
        callbacks: Sequence[keras.callbacks.Callback],
        log_dir: str,
    ) -> None:
        """Take the arguments of SidecarEvaluator of these names."""
        self._model = model
        self._made_data = data
        self._steps = steps
        self._callbacks = list(callbacks)
        self._writer = tf.summary.create_file_writer(log_dir)

    def build(self) -> None:
        """Build the model by a batch of the data, if it is not built."""
        if not self._model.built:
            self._evaluate(steps=1)

    def run(self, step: int) -> dict[str, Any]:
        """Evaluate the model as one of some step; return its results as numbers, or lists of them.

        The scalars among them go to TensorBoard as Keras's own callback would write them.
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
            # Keras takes the end of a dataset that does not tell its length for a fault.
            warnings.filterwarnings("ignore", "Your input ran out of data")
            found = self._model.evaluate(**data, return_dict=True, verbose=0, **arguments)
        return {name: np.asarray(value, dtype=float).tolist() for name, value in found.items()}

    @functools.cached_property
    def _data(self) -> Any:
        # One process takes what all workers take together.
        made = self._made_data
        return made(tf.distribute.InputContext()) if callable(made) else made


def scalars(results: Mapping[str, Any]) -> dict[str, float]:
    """Return those results that are one number each."""
    return {name: value for name, value in results.items() if isinstance(value, float)}


def _write_scalar(tag: str, value: float, step: int) -> None:
    # What tf.summary.scalar writes; but that wants the tensorboard package, which only a reader of
    # the events needs.
    metadata = tf.compat.v1.SummaryMetadata(
        plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
    )
    tf.summary.write(tag, tf.constant(value, tf.float32), step=step, metadata=metadata)
