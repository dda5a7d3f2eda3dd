"""Keras's fit, evaluate and predict on the workers of a strategy."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras
import tensorflow as tf
from typing_extensions import override

from tfps import _keras
from tfps._tensorflow import outside_of_scopes
from tfps.optimizer.averages import finalize, reset_averages, swap_averages
from tfps.params.initialize import initial_value
from tfps.step.report import MetricSums
from tfps.training.callbacks import Logs, callback_list
from tfps.training.data import as_source
from tfps.training.dealt import DealtFeed
from tfps.training.feed import Feed
from tfps.training.history import Traffic, Updates, print_table, total
from tfps.training.on_batch import Method, batch_function
from tfps.training.phase import Phase
from tfps.training.prediction import predict, predict_one
from tfps.training.runtime import Runtime
from tfps.training.sources import FirstBatches, MappedSource, Source


class KerasHooks(_keras.Hooks):
    """The work that Keras hands over to a strategy: above all its training loops."""

    def __init__(self, runtime: Runtime, *, logs_updates: bool) -> None:
        """Keep the arguments.

        Args:
            runtime: the workers that run the steps.
            logs_updates: whether the logs of fit have figures of the updates, and fit prints a
                table of them.
        """
        self._runtime = runtime
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
        epochs = _limited("epochs", epochs, keras.config.max_epochs())
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = _keras.train_validation_split(
                (x, y, sample_weight), validation_split=validation_split
            )
        source = as_source(
            x, y, sample_weight, batch_size=batch_size, shuffle=shuffle, preprocess=preprocess
        )
        if class_weight is not None:
            source = MappedSource(source, _keras.make_class_weight_map_fn(class_weight))
        feed = self._runtime.workers.feed(source)
        limit = keras.config.max_steps_per_epoch()
        steps_per_epoch = _limited("steps_per_epoch", steps_per_epoch, limit)
        training = self._phase(model, "train_step", feed, steps_per_epoch)
        validation = None
        if validation_data is not None:
            validation_source = _validation_source(
                validation_data, validation_batch_size or batch_size, preprocess
            )
            validation = self._finite_phase(model, "test_step", validation_source, validation_steps)
        callbacks = callback_list(
            model, callbacks, verbose, epochs=epochs, steps=training.num_steps, add_history=True
        )
        model.stop_training = False
        model.history.traffic = []
        model.history.updates = []
        callbacks.on_train_begin()
        first_epoch = _keras.first_epoch(model, initial_epoch)
        logs: Logs = {}
        for epoch in range(first_epoch, epochs):
            validates = validation and _keras.should_evaluate(model, epoch, validation_freq)
            logs = self._train_epoch(
                model, training, validation if validates else None, callbacks, epoch
            )
            if model.stop_training:
                break
        finalize(model.optimizer)
        callbacks.on_train_end(logs=logs)
        if verbose and self._logs_updates and model.history.updates:
            print_table(total(model.history.updates))
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
        return logs

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
            x, y, sample_weight, batch_size=batch_size, shuffle=False, preprocess=preprocess
        )
        evaluation = self._finite_phase(model, "test_step", source, steps)
        callbacks = callback_list(model, callbacks, verbose, epochs=1, steps=evaluation.num_steps)
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
        source = as_source(x, batch_size=batch_size, shuffle=False, preprocess=preprocess)
        prediction = self._finite_phase(model, "predict_step", source, steps)
        callbacks = callback_list(model, callbacks, verbose, epochs=1, steps=prediction.num_steps)
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
        return batch_function(model, method, self._run_batch)

    def _run_batch(self, model: keras.Model, method: Method, batch: Any, spec: Any) -> Any:
        """Run a method of `model` on one batch, on the first worker."""
        phase = self._phase(model, method, DealtFeed.of_one(batch, spec), None, members=[0])
        return predict_one(phase) if method == "predict_step" else phase.logs(model)

    def _figures(self, training: Phase, traffic: Traffic, updates: Updates) -> Logs:
        """Return the figures of an epoch that its logs have beside Keras's."""
        figures: Logs = dict(traffic.totals) if training.program.is_coded else {}
        if training.program.overlaps:
            figures["added_staleness"] = training.missed / max(training.steps_run, 1)
        if self._logs_updates:
            figures.update(updates.logs)
        return figures

    def _finite_phase(
        self, model: keras.Model, method: Method, source: Source, steps: int | None = None
    ) -> Phase:
        """Return a phase whose epochs read all of `source`, or its first `steps` batches."""
        steps = _limited("steps", steps, keras.config.max_steps_per_epoch())
        if steps is not None:
            source = FirstBatches(source, steps)
        return self._phase(model, method, self._runtime.workers.feed(source), None)

    def _phase(
        self,
        model: keras.Model,
        method: Method,
        feed: Feed,
        steps: int | None,
        members: Sequence[int] | None = None,
    ) -> Phase:
        if steps is None:
            feed.check_finite()
        function = batch_function(model, method, self._run_batch)
        with self._runtime.strategy.scope():
            _keras.build(model, feed.element_spec, compiled=method != "predict_step")
            program, outputs = self._runtime.program(model, method, feed, function)
        return Phase(
            workers=self._runtime.workers,
            feed=feed,
            program=program,
            metrics=MetricSums(program.metric_variables),
            steps=steps,
            steps_per_execution=1 if method == "predict_step" else model.steps_per_execution,
            members=members,
            outputs=outputs,
        )


def _limited(name: str, given: int | None, limit: int | None) -> Any:
    """Return a number of steps or epochs; not more than Keras's own setting for debugging."""
    if not limit or (given and given <= limit):
        return given
    warnings.warn(f"{name} is {limit}, the limit of keras.config.", stacklevel=2)
    return limit


def _validation_source(data: Any, batch_size: int | None, preprocess: Any) -> Source:
    """Return the source for the argument validation_data of fit."""
    if isinstance(data, tf.data.Dataset) or callable(data):
        return as_source(data, batch_size=None, shuffle=False, preprocess=preprocess)
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    return as_source(
        x, y, sample_weight, batch_size=batch_size, shuffle=False, preprocess=preprocess
    )
