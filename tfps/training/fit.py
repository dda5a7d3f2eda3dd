"""Keras's fit, evaluate and predict on the workers of a strategy."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import keras
import tensorflow as tf
from typing_extensions import override

from tfps import _keras
from tfps._tensorflow import outside_of_scopes
from tfps.optimizer.averages import finalize, reset_averages, swap_averages
from tfps.params.initialize import initial_value
from tfps.training.callbacks import Logs, callback_list
from tfps.training.data import as_source
from tfps.training.history import Reading, Traffic, Updates, print_table, total
from tfps.training.on_batch import Method
from tfps.training.phase import Phase
from tfps.training.phases import Phases, limited
from tfps.training.position import keep_position
from tfps.training.prediction import predict
from tfps.training.runtime import Runtime
from tfps.training.sources import ChiefSource, Source

_MUCH = 0.3  # of the time of the workers: if they wait longer for data, that limits the job


class KerasHooks(_keras.Hooks):
    """The work that Keras hands over to a strategy: above all its training loops."""

    def __init__(self, runtime: Runtime, phases: Phases, *, logs_updates: bool) -> None:
        """Keep the arguments.

        Args:
            runtime: the workers that run the steps.
            phases: makes what they run.
            logs_updates: whether the logs of fit have figures of the updates, and fit prints a
                table of them.
        """
        self._runtime = runtime
        self._phases = phases
        self._logs_updates = logs_updates

    @override
    def initial_value(
        self, initializer: Callable[..., Any], shape: tuple[int, ...], dtype: str
    ) -> Callable[..., tf.Tensor]:
        return initial_value(initializer, shape, dtype)

    @override
    def check_optimizer(self, optimizer: keras.optimizers.Optimizer) -> None:
        settings = self._runtime.settings
        for inner in _keras.without_wrappers(optimizer):
            settings.policy.check_optimizer(inner, lazy_rows=settings.lazy_rows)

    @override
    def swap_averages(self, optimizer: keras.optimizers.Optimizer) -> None:
        swap_averages(optimizer)

    @override
    def reset_averages(self, optimizer: keras.optimizers.Optimizer) -> None:
        reset_averages(optimizer)

    @override
    def fit(
        self,
        model: keras.Model,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float | None = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | list[int] = 1,
        preprocess: Any = None,
    ) -> keras.callbacks.History:
        """Train `model`; see `keras.Model.fit`, and `as_source` for `x` and `preprocess`."""
        _keras.check_compiled(model, "fit")
        epochs = limited("epochs", epochs, keras.config.max_epochs())
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = _keras.train_validation_split(
                (x, y, sample_weight), validation_split=validation_split
            )
        source = as_source(
            x, y, sample_weight, batch_size=batch_size, steps=steps_per_epoch, shuffle=shuffle,
            class_weight=class_weight, preprocess=preprocess,
        )  # fmt: skip
        feed = self._runtime.workers.feed(source)
        limit = keras.config.max_steps_per_epoch()
        steps_per_epoch = limited("steps_per_epoch", steps_per_epoch, limit)
        training = self._phases.of(model, "train_step", feed, steps_per_epoch)
        validation = None
        if validation_data is not None:
            validation_source = _validation_source(
                validation_data, validation_batch_size or batch_size, validation_steps, preprocess
            )
            validation = self._phases.finite(
                model, "test_step", validation_source, validation_steps
            )
        callbacks = callback_list(
            model, callbacks, verbose, epochs=epochs, steps=training.num_steps, add_history=True
        )
        model.stop_training = False
        model.history.traffic = []
        model.history.updates = []
        model.history.reading = []
        callbacks.on_train_begin()
        first_epoch = _keras.first_epoch(model, initial_epoch)
        if (line := keep_position(callbacks, training, first_epoch)) and verbose:
            print(line, flush=True)
        logs: Logs = {}
        with contextlib.ExitStack() as feeds:
            for phase in filter(None, (training, validation)):
                feeds.enter_context(self._runtime.workers.closing(phase.feed))
            for epoch in range(first_epoch, epochs):
                validates = validation and _keras.should_evaluate(model, epoch, validation_freq)
                logs = self._train_epoch(
                    model, training, validation if validates else None, callbacks, epoch
                )
                is_first = epoch == first_epoch
                if verbose and is_first and isinstance(source, ChiefSource) and source.is_python:
                    print(source.line(training.feed.reading), flush=True)
                if model.stop_training:
                    break
        finalize(model.optimizer)
        callbacks.on_train_end(logs=logs)
        if verbose and self._logs_updates and model.history.updates:
            print_table(total(model.history.updates))
        if verbose and isinstance(source, ChiefSource):
            self._print_limit(source, model.history)
        return model.history

    def _train_epoch(
        self,
        model: keras.Model,
        training: Phase,
        validation: Phase | None,
        callbacks: keras.callbacks.CallbackList,
        epoch: int,
    ) -> Logs:
        """Train an epoch, and validate after it; return its logs."""
        logs = training.train_epoch(model, callbacks, epoch)
        updates = training.updates()
        if validation:
            validation_logs = validation.evaluate(model, callbacks)
            logs.update({f"val_{name}": value for name, value in validation_logs.items()})
        traffic = Traffic.of(training.traffic)
        traffic.log(epoch)
        logs.update(self._figures(training, traffic, updates))
        callbacks.on_epoch_end(epoch, logs)
        model.history.traffic.append(traffic)
        model.history.updates.append(updates)
        model.history.reading.append(training.feed.reading)
        return logs

    def _print_limit(self, source: ChiefSource, history: keras.callbacks.History) -> None:
        """Say so if the workers have waited much for data that the chief reads."""
        waited_s = sum(reading.waited_s for reading in history.reading)
        seconds = sum(updates.seconds for updates in history.updates)
        waited = waited_s / max(seconds * self._runtime.workers.num_workers, 1e-9)
        if waited > _MUCH:
            reading = sum(history.reading, Reading())
            print(
                f"The workers waited for data {waited:.0%} of the time. {source.line(reading)} "
                "docs/data.md says what to do.",
                flush=True,
            )

    @override
    def evaluate(
        self,
        model: keras.Model,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        preprocess: Any = None,
    ) -> Any:
        """Evaluate `model`; see `keras.Model.evaluate`, and `as_source` for `x`, `preprocess`."""
        _keras.check_compiled(model, "evaluate")
        source = as_source(
            x, y, sample_weight, batch_size=batch_size, steps=steps, preprocess=preprocess
        )
        evaluation = self._phases.finite(model, "test_step", source, steps)
        callbacks = callback_list(model, callbacks, verbose, epochs=1, steps=evaluation.num_steps)
        with self._runtime.workers.closing(evaluation.feed):
            logs = evaluation.evaluate(model, callbacks)
        return logs if return_dict else _keras.ordered_metrics(model, logs)

    @override
    def predict(
        self,
        model: keras.Model,
        x: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
        preprocess: Any = None,
    ) -> Any:
        """Predict with `model`; see `keras.Model.predict`, and `as_source` for `x`.

        The outputs for arrays and a tf.data.Dataset are in their order. The outputs for a data
        function are in the order of the batches: the first of each worker, the second of each, ...
        """
        source = as_source(x, batch_size=batch_size, steps=steps, preprocess=preprocess)
        prediction = self._phases.finite(model, "predict_step", source, steps)
        callbacks = callback_list(model, callbacks, verbose, epochs=1, steps=prediction.num_steps)
        with self._runtime.workers.closing(prediction.feed):
            return predict(prediction, model, callbacks)

    @override
    def outside_of_scopes(self) -> AbstractContextManager[None]:
        return outside_of_scopes()

    @override
    def steps_on_chief(self, model: keras.Model) -> bool:
        if _keras.is_on_chief(model):
            return True
        is_eager = bool(model.run_eagerly or tf.config.functions_run_eagerly())
        if is_eager:
            warnings.warn(
                f"Model {model.name!r} runs eagerly: its steps run on the chief, one after the "
                "other, with all its parameters pulled there. That is slow, and for debugging.",
                stacklevel=5,
            )
        return is_eager

    @override
    def make_function(self, model: keras.Model, method: Method, force: bool = False) -> Any:
        if force:
            setattr(model, _keras.FUNCTIONS[method], None)
        return self._phases.function(model, method)

    def _figures(self, training: Phase, traffic: Traffic, updates: Updates) -> Logs:
        """Return the figures of an epoch that its logs have beside Keras's."""
        figures: Logs = dict(traffic.totals) if training.program.is_coded else {}
        if training.program.overlaps:
            figures["added_staleness"] = training.missed / max(training.steps_run, 1)
        if self._logs_updates:
            figures.update(updates.logs)
        return figures


def _validation_source(data: Any, batch_size: int | None, steps: Any, preprocess: Any) -> Source:
    """Return the source for the argument validation_data of fit."""
    arguments: Any = (data,)
    if not isinstance(data, tf.data.Dataset) and not callable(data):
        arguments = keras.utils.unpack_x_y_sample_weight(data)
    return as_source(*arguments, batch_size=batch_size, steps=steps, preprocess=preprocess)
