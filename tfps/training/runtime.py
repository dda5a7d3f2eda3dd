"""What all training loops of a strategy share: its workers, and the programs that run on them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import keras

from tfps.log import say
from tfps.step.program import WorkerProgram
from tfps.step.step import StepSettings
from tfps.training.auto import Codecs
from tfps.training.feed import Feed
from tfps.training.pool import WorkerPool
from tfps.training.whole_tables import describe_whole_tables

Method = Literal["train_step", "test_step", "predict_step"]
"""The method of a model that a batch goes through, in fit, evaluate and predict."""

# The attributes in which Keras caches its function for each method. It sets one to None when the
# function has become invalid: in compile and in quantize.
_CACHES: dict[Method, str] = {
    "train_step": "train_function",
    "test_step": "test_function",
    "predict_step": "predict_function",
}


class Runtime:
    """The workers of a strategy, and how steps run on them.

    Attributes:
        strategy: the strategy in whose scope models are built.
        settings: how steps run, with nothing coded.
    """

    def __init__(self, strategy: Any, settings: StepSettings, codecs: Codecs) -> None:
        """Keep the arguments; the first use of `workers` starts the coordinator."""
        self.strategy = strategy
        self.settings = settings
        self._codecs = codecs

    @functools.cached_property
    def workers(self) -> WorkerPool:
        """The workers of the strategy's coordinator."""
        return WorkerPool(self.strategy.coordinator)

    def loop_program(
        self, model: keras.Model, step: Callable[[Any], Any], feed: Feed
    ) -> WorkerProgram:
        """Return the program of `step`, a function of a batch of `feed` that trains `model`.

        To be called in the strategy's scope.
        """
        settings = self._training_settings(model, step, feed)
        return _described(WorkerProgram(step, feed.element_spec, settings))

    def program(self, model: keras.Model, method: Method, feed: Feed) -> WorkerProgram:
        """Return the program of a method of `model` for batches of `feed`.

        It is built at the first call after each compile. To be called in the strategy's scope.
        """
        programs = getattr(model, _CACHES[method])
        if not isinstance(programs, _Programs):
            programs = _Programs()
            setattr(model, _CACHES[method], programs)
        key = str(feed.element_spec)
        if key not in programs.by_spec:
            step = getattr(model, method)
            trains = method == "train_step"
            settings = self._training_settings(model, step, feed) if trains else self.settings
            settings = dataclasses.replace(settings, jit_compile=model.jit_compile)
            program = WorkerProgram(step, feed.element_spec, settings)
            programs.by_spec[key] = _described(program) if trains else program
        return programs.by_spec[key]

    def _training_settings(
        self, model: keras.Model, step: Callable[[Any], Any], feed: Feed
    ) -> StepSettings:
        wire = self._codecs.wire(model, step, feed, self.workers, self.settings)
        return dataclasses.replace(self.settings, wire=wire)


def _described(program: WorkerProgram) -> WorkerProgram:
    """Return a program that trains, and say what to know of it."""
    for sentence in describe_whole_tables(program.demand):
        say(sentence)
    return program


class _Programs:
    """The programs of one method, by the type of a batch."""

    def __init__(self) -> None:
        self.by_spec: dict[str, WorkerProgram] = {}
