"""The programs that a model's steps are made into."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import keras

from tfps.step.program import WorkerProgram
from tfps.step.step import StepSettings

Method = Literal["train_step", "test_step", "predict_step"]
"""Which of a model's methods a batch goes through: in fit, evaluate and predict."""

# Where Keras keeps what it made of each method. It sets them to None when that is no longer right:
# after compile, and after quantize.
_MADE_OF: dict[Method, str] = {
    "train_step": "train_function",
    "test_step": "test_function",
    "predict_step": "predict_function",
}


class _Programs:
    """The programs of one method, by the type of a batch."""

    def __init__(self) -> None:
        self.by_spec: dict[str, WorkerProgram] = {}


def program(
    model: keras.Model, method: Method, batch_spec: Any, settings: StepSettings
) -> WorkerProgram:
    """Return the program of a method for batches of `batch_spec`; a compile makes them anew.

    To be called in the scope of the model's strategy.
    """
    programs = getattr(model, _MADE_OF[method])
    if not isinstance(programs, _Programs):
        programs = _Programs()
        setattr(model, _MADE_OF[method], programs)
    if str(batch_spec) not in programs.by_spec:
        settings = dataclasses.replace(settings, jit_compile=model.jit_compile)
        programs.by_spec[str(batch_spec)] = WorkerProgram(
            getattr(model, method), batch_spec, settings
        )
    return programs.by_spec[str(batch_spec)]


def check_supported(model: keras.Model) -> None:
    """Refuse what would be ignored.

    Raises:
        NotImplementedError: if the model runs eagerly.
    """
    if model.run_eagerly:
        raise NotImplementedError(
            "run_eagerly=True: the steps run on the workers, as functions. Compile the model "
            "without it; to debug, train it outside of the strategy's scope."
        )
