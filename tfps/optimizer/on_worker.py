"""A Keras optimizer on a worker: what happens to gradients before they are pushed, or instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from tfps import _keras
from tfps.optimizer.limits import has_keras_update, looks_at_whole
from tfps.optimizer.loss_scale import LossScale
from tfps.optimizer.update_step import Rate, UpdateStep
from tfps.optimizer.views import View, WorkerScope, WorkerView
from tfps.params.shards import native, updated_on
from tfps.params.variable_map import Values, VariableMap, VariableSet


class WorkerOptimizer:
    """A Keras optimizer, and its work on a worker.

    Attributes:
        loss_scale: its dynamic loss scale; None if it has none.
        counters: the scalars of the optimizer that a worker pulls with the parameters.
        optimized: the variables that it updates.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, *, lazy_rows: bool = True) -> None:
        """Take an optimizer that is built.

        Args:
            optimizer: the optimizer, with its slot variables.
            lazy_rows: whether a step only updates the rows that its batch looked up, in a table
                that is pulled by row and in its slot variables. Plain Keras also updates the other
                rows, with a gradient of zero. For SGD without momentum, and for Adagrad, that
                changes nothing. Other optimizers move these rows by their momentum (SGD and
                RMSprop with momentum, Adam, AdamW, Adamax, Nadam, Lion, ScheduleFreeAdamW), lower
                their means of squares (RMSprop, Adadelta), or set rows that were never looked up
                to zero (Ftrl); weight decay shrinks them. False updates all rows in each step, as
                plain Keras does.

        Raises:
            NotImplementedError: if a ps cannot make its updates.
        """
        scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        self.loss_scale = LossScale(optimizer) if scaled else None
        self._keras = optimizer.inner_optimizer if scaled else optimizer
        self._lazy_rows = lazy_rows
        self._update_step = UpdateStep(self._keras)
        self.counters = _keras.counters(optimizer)
        self.optimized = _keras.optimized_variables(self._keras)

    @property
    def global_step(self) -> keras.Variable:
        """The number of updates so far: int64, scalar, one native atomic counter on a ps."""
        return _keras.global_step_variable(self._keras)

    def slots_of(self, variable: keras.Variable) -> list[keras.Variable]:
        """Return the slot variables of `variable` that have its shape."""
        slots = _keras.slots(self._keras, native(variable))
        return [slot for slot in slots if tuple(slot.shape) == tuple(variable.shape)]

    def slots(self, *, except_of: Sequence[keras.Variable]) -> list[keras.Variable]:
        """Return the optimizer's slot variables, without those of the tables `except_of`.

        Its counters and moving averages are not among them.
        """
        averages = (average for _, average in _keras.moving_averages(self._keras))
        excluded = VariableSet([*self.counters, *averages])
        if has_keras_update(self._keras):
            tables = VariableSet(except_of)
            for variable in self.optimized:
                if variable in tables:
                    excluded |= VariableSet(self.slots_of(variable))
        return [v for v in self._keras.variables if v not in excluded]

    @property
    def steps_per_update(self) -> int:
        """The number of batches in an update: `gradient_accumulation_steps`, or 1."""
        return self._keras.gradient_accumulation_steps or 1

    def unscaled(
        self, gradients: Sequence[tuple[keras.Variable, tf.Tensor | None]], counters: Values
    ) -> Values:
        """Return the gradients that are not None, without the loss scale; on the worker.

        Args:
            gradients: one for each trainable variable; None if the loss does not depend on it.
            counters: the values of `self.counters`.

        Raises:
            ValueError: if the loss depends on none of the variables.
        """
        variables, scaled = _keras.with_gradients(self._keras, gradients)
        scale = self._keras.loss_scale_factor
        if self.loss_scale is not None:
            scale = self.loss_scale.value(counters)
        if scale is not None:
            scaled = [gradient / tf.cast(scale, gradient.dtype) for gradient in scaled]
        return VariableMap(zip(variables, scaled, strict=True))

    def clipped(self, gradients: Values) -> Values:
        """Return the clipped gradients; on the worker.

        The gradient by pulled rows has the same norm as the gradient by the whole table, so
        clipping by norm or global norm means the same for both.
        """
        clipped = _keras.clip_gradients(self._keras, list(gradients.values()))
        return VariableMap(zip(gradients, clipped, strict=True))

    def are_good(self, gradients: Values) -> tf.Tensor | None:
        """Return whether to push gradients, a bool scalar; None if they are always pushed.

        Only a `LossScaleOptimizer` drops gradients that are not finite, as in plain Keras.
        """
        if self.loss_scale is None:
            return None
        finite = [tf.reduce_all(tf.math.is_finite(g)) for g in gradients.values()]
        return tf.reduce_all(tf.stack(finite))

    def update_on_worker(
        self,
        gradients: Sequence[tuple[keras.Variable, tf.Tensor]],
        views: VariableMap[WorkerView],
        counters: Values,
        own_step: tf.Tensor,
    ) -> None:
        """Update a worker's own values; on the worker.

        Args:
            gradients: variables, each with a gradient of the shape of its view.
            views: the views of these variables and of all slot variables.
            counters: the values of `self.counters`, which determine the learning rate.
            own_step: the number of updates that the worker's own slot variables have had, int64.
        """
        with WorkerScope(counters, views):
            rate = tf.convert_to_tensor(self._keras.learning_rate)
        own_counters = counters | VariableMap([(self.global_step, own_step)])
        with WorkerScope(own_counters, views):
            if _keras.has_shared_update(self._keras):
                _keras.update_shared(self._keras, rate)
            for variable, gradient in gradients:
                view = views[variable]
                own = tf.cast(rate, view.dtype)
                self._write(variable, view, gradient, {view.dtype: Rate(own, own)})
                if variable.constraint is not None:
                    view.assign(variable.constraint(view.read()))

    def goes_by_rows(self, table: keras.Variable) -> bool:
        """Whether a step updates only the rows of `table` that its batch looked up."""
        is_lazy = self._lazy_rows and updated_on(table) is None
        return is_lazy and not looks_at_whole(self._keras, table)

    def _write(
        self,
        variable: keras.Variable,
        view: View,
        gradient: tf.Tensor,
        rates: Mapping[tf.DType, Rate],
    ) -> None:
        """Update the part of `variable` that `view` shows, in a scope that knows the view."""
        optimizer = self._keras
        if getattr(variable, "overwrite_with_gradient", False):
            view.assign(gradient)
            return
        rate = rates[view.dtype]
        if _keras.decays(optimizer, view):
            _keras.decay(optimizer, view, rate.plain)
        self._update_step(gradient, view, rate)
