"""Makes the phases of a strategy's models: what its workers run, and the data that it reads."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfps import _keras
from tfps.step.program import WorkerProgram
from tfps.step.report import MetricSums
from tfps.training.feed import Feed
from tfps.training.on_batch import BatchFunction, Method, batch_function
from tfps.training.outputs import Outputs
from tfps.training.phase import Phase
from tfps.training.pool import WorkerPool
from tfps.training.prediction import Writer, predict_one
from tfps.training.runtime import Runtime
from tfps.training.sources import ChiefSource, Source


class Phases:
    """Makes phases."""

    def __init__(self, runtime: Runtime) -> None:
        """Take the workers, whose coordinator the first phase starts."""
        self._runtime = runtime

    @property
    def workers(self) -> WorkerPool:
        """The workers that run the phases."""
        return self._runtime.workers

    def function(self, model: keras.Model, method: Method) -> BatchFunction:
        """Return the model's function for a method, which keeps its programs."""
        return batch_function(model, method, self._run_batch)

    def finite(
        self, model: keras.Model, method: Method, source: Source, steps: int | None = None
    ) -> Phase:
        """Return a phase whose epochs read all of `source`, or its first `steps` batches."""
        source, steps = _first(source, steps)
        phase = self.of(model, method, self.workers.feed(source), None)
        phase.batches = steps
        return phase

    def of(
        self,
        model: keras.Model,
        method: Method,
        feed: Feed,
        steps: int | None,
        members: Sequence[int] | None = None,
    ) -> Phase:
        """Return a phase of a method of a model.

        Args:
            model: the model.
            method: the method.
            feed: the data.
            steps: the number of steps of an epoch; None to read all data to its end.
            members: the indices of the workers that take part; None is all.
        """
        if steps is None:
            feed.check_finite()
        function = self.function(model, method)
        with self._runtime.strategy.scope(), _needs_rank(feed.element_spec):
            _keras.build(model, feed.element_spec, compiled=method != "predict_step")
            program, outputs = self._runtime.program(model, method, feed, function)
        per_call = 1 if method == "predict_step" else model.steps_per_execution
        return self._phase(feed, program, outputs, per_call, steps, members)

    def writing(self, model: keras.Model, source: Source, steps: int | None, folder: str) -> Phase:
        """Return a phase whose workers write what `predict_step` returns to files; see `finite`."""
        source, steps = _first(source, steps)
        feed = self.workers.feed(source.numbered())
        feed.check_finite()
        with self._runtime.strategy.scope(), _needs_rank(feed.element_spec):
            _keras.build(model, feed.element_spec[1], compiled=False)
            step = Outputs(Writer(model.predict_step, folder))
            program = self._runtime.evaluation_program(model, step, feed)
        phase = self._phase(feed, program, step, model.steps_per_execution)
        phase.batches = steps
        return phase

    def _phase(
        self,
        feed: Feed,
        program: WorkerProgram,
        outputs: Outputs,
        steps_per_execution: int,
        steps: int | None = None,
        members: Sequence[int] | None = None,
    ) -> Phase:
        return Phase(
            workers=self.workers,
            feed=feed,
            program=program,
            metrics=MetricSums(program.metric_variables),
            steps=steps,
            steps_per_execution=steps_per_execution,
            members=members,
            outputs=outputs,
        )

    def _run_batch(self, model: keras.Model, method: Method, batch: Any, spec: Any) -> Any:
        """Run a method of `model` on one batch, on the first worker."""
        known = self.function(model, method).feeds
        if str(spec) not in known:
            given: list[Any] = []
            source = ChiefSource(given, spec, batches=1)
            known[str(spec)] = given, self._runtime.workers.feed(source)
        batches, feed = known.pop(str(spec))
        batches[:] = [batch]
        phase = self.of(model, method, feed, None, members=[0])
        result = predict_one(phase) if method == "predict_step" else phase.logs(model)
        known[str(spec)] = batches, feed  # it is used again only if nothing was raised
        return result


def _first(source: Source, steps: int | None) -> tuple[Source, int | None]:
    """Return a source of the first batches that are asked for, and how many these are."""
    steps = limited("steps", steps, keras.config.max_steps_per_epoch())
    return (source if steps is None else source.first(steps)), steps


@contextlib.contextmanager
def _needs_rank(spec: Any) -> Iterator[None]:
    """Name data without a rank if the block fails, which builds and traces a model for it."""
    try:
        yield
    except ValueError as error:
        shapes = [leaf.shape for leaf in tf.nest.flatten(spec) if hasattr(leaf, "shape")]
        if all(shape.rank is not None for shape in shapes):
            raise
        raise ValueError(
            f"The data gives batches of type {spec}, a part of which has no rank. Give it a shape "
            f"in a map of the dataset, by tf.ensure_shape. Keras says: {error}"
        ) from error


def limited(name: str, given: int | None, limit: int | None) -> Any:
    """Return a number of steps or epochs; not more than Keras's own setting for debugging."""
    if not limit or (given and given <= limit):
        return given
    warnings.warn(f"{name} is {limit}, the limit of keras.config.", stacklevel=2)
    return limit
