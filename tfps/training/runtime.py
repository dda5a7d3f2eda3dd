"""What all training loops of a strategy share: its workers, and the programs that run on them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras

from tfps.log import say
from tfps.step.program import WorkerProgram
from tfps.step.step import StepSettings
from tfps.training.auto import Codecs
from tfps.training.feed import Feed
from tfps.training.on_batch import BatchFunction, Method
from tfps.training.outputs import Outputs
from tfps.training.pool import WorkerPool
from tfps.training.whole_tables import describe_whole_tables


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

    def program(
        self, model: keras.Model, method: Method, feed: Feed, function: BatchFunction
    ) -> tuple[WorkerProgram, Outputs]:
        """Return the program of a method of `model` for batches of `feed`, and its outputs.

        It is built at the first call after each compile, and once more for a callback that runs
        the method while it is in use. To be called in the strategy's scope.

        Args:
            model: the model.
            method: the method.
            feed: the batches.
            function: the model's function for the method, which keeps its programs.
        """
        key = str(feed.element_spec)
        while key in function.by_spec and function.by_spec[key].in_use:
            key += ", within a callback"
        if key not in function.by_spec:
            step = Outputs(getattr(model, method))
            trains = method == "train_step"
            if trains:
                settings = self._training_settings(model, step, feed)
                settings = dataclasses.replace(settings, jit_compile=model.jit_compile)
                program = _described(WorkerProgram(step, feed.element_spec, settings))
            else:
                program = self.evaluation_program(model, step, feed)
            function.by_spec[key] = program
            function.outputs[key] = step
        return function.by_spec[key], function.outputs[key]

    def evaluation_program(self, model: keras.Model, step: Outputs, feed: Feed) -> WorkerProgram:
        """Return the program of `step`, which trains nothing; see `program`."""
        settings = dataclasses.replace(self.settings, jit_compile=model.jit_compile)
        return WorkerProgram(step, feed.element_spec, settings)

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
