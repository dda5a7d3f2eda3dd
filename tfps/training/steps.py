"""The programs that a model's steps are made into."""

from __future__ import annotations

from typing import Any, Literal

import keras

from tfps import _keras
from tfps.step.program import Program

Method = Literal["train_step", "test_step", "predict_step"]
"""Which of a model's methods a batch goes through: in fit, evaluate and predict."""

_PROGRAMS = "_tfps_programs"  # where a model keeps them; in __dict__, which Keras does not track


def program(model: keras.Model, method: Method, batch_spec: Any) -> Program:
    """Return the program of a method for batches of `batch_spec`, made anew after a compile.

    To be called in the scope of the model's strategy.
    """
    compiled = _keras.compiled_parts(model)
    programs = model.__dict__.setdefault(_PROGRAMS, {})
    key = (method, str(batch_spec))
    known, _ = programs.get(key, (None, None))
    if known is None or any(a is not b for a, b in zip(known, compiled, strict=True)):
        programs[key] = compiled, Program(getattr(model, method), batch_spec)
    found: Program = programs[key][1]
    return found


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
