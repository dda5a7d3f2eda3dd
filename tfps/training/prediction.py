"""The loop of predict: the outputs of all workers, in the order of the data."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from tfps import _keras
from tfps.training.callbacks import BatchHooks, batch_hooks
from tfps.training.data import as_source
from tfps.training.phase import Phase
from tfps.training.sources import Source

if TYPE_CHECKING:
    from tfps.training.phases import Phases


_MOST_APART = 64  # batches that predictions may be computed ahead of the one that is next
_NPY_BYTES = 128  # of the header of a file of NumPy


def predict(phase: Phase, model: keras.Model, callbacks: keras.callbacks.CallbackList) -> Any:
    """Return the outputs for the data, in the order of its batches.

    Callbacks see them in this order, too: `steps_per_execution` batches at a time.

    Raises:
        ValueError: if there is no data.
    """
    model.stop_predicting = False
    callbacks.on_predict_begin()
    hooks = batch_hooks(callbacks, "predict")
    outputs: list[Any] = []
    first = 0
    early = phase.calls_early(hooks)
    with closing(_outputs_in_order(phase, hooks)) as in_order:
        while not model.stop_predicting:
            if hooks and early and phase.expects_batch(first):
                hooks.begin(first)
            if not (several := list(itertools.islice(in_order, model.steps_per_execution))):
                break
            outputs += several
            if hooks and not early:
                hooks.begin(first)
            if hooks:
                joined = _keras.joined(several)
                hooks.end(first + model.steps_per_execution - 1, {"outputs": joined})
            first += model.steps_per_execution
    callbacks.on_predict_end()
    if not outputs:
        raise ValueError("The data to predict for holds no batch. Give at least one example.")
    return _keras.concatenate(outputs)


def predict_one(phase: Phase) -> Any:
    """Return the output for data of one batch."""
    with closing(_outputs_in_order(phase, None)) as in_order:
        return next(in_order)


def predictions(
    phases: Phases, model: keras.Model, x: Any, batch_size: int | None, steps: int | None
) -> Generator[Any]:
    """Yield what `predict` returns, batch by batch, in order; see `ParameterServerStrategy`."""
    source = _source(model, x, batch_size, steps)
    phase = phases.finite(model, "predict_step", source, steps)
    phase.most_apart = _MOST_APART
    with (
        phases.workers.closing(phase.feed),
        closing(_outputs_in_order(phase, None)) as in_order,
    ):
        for output in in_order:
            yield _keras.concatenate([output])


def write_predictions(
    phases: Phases,
    folder: str,
    model: keras.Model,
    x: Any,
    batch_size: int | None,
    steps: int | None,
) -> int:
    """Write what `predict` returns to files; see `ParameterServerStrategy`."""
    phase = phases.writing(model, _source(model, x, batch_size, steps), steps, folder)
    with phases.workers.closing(phase.feed):
        phase.logs(model)
    return phase.steps_run


def _source(model: keras.Model, x: Any, batch_size: int | None, steps: int | None) -> Source:
    preprocess = getattr(model, "preprocess_samples", None)
    return as_source(x, batch_size=batch_size, steps=steps, preprocess=preprocess)


class Writer:
    """A predict_step that writes the outputs of a numbered batch to files, on the worker."""

    def __init__(self, predict_step: Callable[[Any], Any], folder: str) -> None:
        self._predict_step = predict_step
        self._folder = folder

    def __call__(self, numbered: tuple[tf.Tensor, Any]) -> list[tf.Tensor]:
        """Run the step on a batch, in a trace, and write its outputs."""
        number, batch = numbered
        outputs = self._predict_step(batch)
        leaves = tf.nest.flatten(outputs)
        written = []
        for i, leaf in enumerate(leaves):
            if not isinstance(leaf, tf.Tensor) or leaf.dtype == tf.string:
                raise TypeError(f"An output is {leaf!r}; only dense numbers can be written.")
            part = f"-{i}" if len(leaves) > 1 else ""
            name = tf.strings.as_string(number, width=9, fill="0")
            path = tf.strings.join([os.path.join(self._folder, ""), name, f"{part}.npy"])
            written.append(tf.io.write_file(path, npy(leaf)))
        with tf.control_dependencies(written):
            return [tf.identity(number)]


def npy(tensor: tf.Tensor) -> tf.Tensor:
    """Return the content of NumPy's file of a tensor."""
    if tensor.dtype == tf.bfloat16:
        tensor = tf.cast(tensor, tf.float32)
    dtype = np.dtype(tensor.dtype.as_numpy_dtype)
    sizes = tf.strings.as_string(tf.shape(tensor))
    shape = tf.strings.reduce_join(tf.strings.join([sizes, tf.fill(tf.shape(sizes), ",")]))
    start = b"\x93NUMPY\x01\x00" + (_NPY_BYTES - 10).to_bytes(2, "little")
    start += f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': (".encode()
    header = tf.strings.join([start, shape, ")}", " " * _NPY_BYTES])
    num_bytes = dtype.itemsize * tf.size(tensor)
    numbers = tf.strings.substr(tf.io.serialize_tensor(tensor), -num_bytes, num_bytes)
    return tf.strings.join([tf.strings.substr(header, 0, _NPY_BYTES - 1), "\n", numbers])


def _outputs_in_order(phase: Phase, hooks: BatchHooks | None) -> Generator[Any]:
    dispatch = phase.program.dispatch(most_steps=1, with_output=True)
    known: dict[int, Any] = {}
    following = itertools.count()
    batch = next(following)
    with closing(phase.run(dispatch, None, hooks=hooks)) as results:
        for result in results:
            known[result.first_batch] = phase.output(result)
            while batch in known:
                yield known.pop(batch)
                batch = next(following)
    # Of a data function, a worker may have no batch where another has some.
    yield from (known[batch] for batch in sorted(known))
