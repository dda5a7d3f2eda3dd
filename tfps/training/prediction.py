"""The loop of predict: the outputs of all workers, in the order of the data."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from contextlib import closing
from typing import Any

import keras

from tfps import _keras
from tfps.training.callbacks import BatchHooks, batch_hooks
from tfps.training.phase import Phase


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
