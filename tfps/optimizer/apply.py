"""Apply: a ps updates its own parameters with the gradients that were pushed to it.

The Keras optimizer's `update_step` runs on the ps, in one op where possible (see `update_step`). In
place of a variable and its slot variables it receives views of their shards, or of rows of them, on
that ps. A view's `assign`, `assign_add` and `assign_sub` are TensorFlow's native ops.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence

import keras
import tensorflow as tf

from tfps import _keras
from tfps.optimizer.averages import move_averages
from tfps.optimizer.limits import check_shards, has_keras_update, keeps_to_rows
from tfps.optimizer.loss_scale import LossScale
from tfps.optimizer.update_step import Rate, UpdateScalars, UpdateStep
from tfps.optimizer.views import (
    PsView,
    RowView,
    ShardView,
    View,
    ViewScope,
    WorkerScope,
    WorkerView,
    view_of,
)
from tfps.params.placement import ps_device
from tfps.params.shards import native, shards
from tfps.params.variable_map import Values, VariableMap, VariableSet
from tfps.params.variables import take_number
from tfps.transport.send import ShardGradient


class PsOptimizer:
    """A Keras optimizer, split into the part that runs on workers and the part that runs on ps.

    Attributes:
        loss_scale: its dynamic loss scale; None if it has none.
        counts: whether its updates count in the global step.
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
        self.counts = True
        self._update_step = UpdateStep(self._keras)
        self._rate = _keras.learning_rate_variable(self._keras)
        self.optimized = _keras.optimized_variables(self._keras)
        check_shards(self._keras, self.optimized)

    @property
    def global_step(self) -> keras.Variable:
        """The number of updates so far: int64, scalar, one native atomic counter on a ps."""
        return _keras.global_step_variable(self._keras)

    @property
    def counters(self) -> list[keras.Variable]:
        """The scalars of the optimizer that a worker pulls with the parameters."""
        rate = [] if self._rate is None else [self._rate]
        loss_scale = [] if self.loss_scale is None else self.loss_scale.variables
        return [self.global_step, *rate, *loss_scale]

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

    def without_count(self) -> PsOptimizer:
        """Return the same optimizer, but its updates do not count in the global step."""
        other = copy.copy(self)
        other.counts = False
        return other

    @property
    def ps(self) -> list[int]:
        """The indices of the ps that updates write to."""
        written = [*self.optimized, *self.counters]
        return sorted({shard.ps for variable in written for shard in shards(variable)})

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

    def apply(
        self,
        gradients: Sequence[ShardGradient],
        counters: Values,
        scalars: Mapping[int, UpdateScalars],
        *,
        ps: int | None = None,
    ) -> tf.Tensor:
        """Update the parameters on their ps, and count one update.

        Args:
            gradients: the gradients by shards, or by rows of shards, on their ps.
            counters: the values of `self.counters`.
            scalars: for each ps, by its index, the result of `self.scalars`.
            ps: the index of the only ps to write to, if each ps makes its updates by itself; None
                writes to all.

        Returns:
            The number of the update, int64, on the ps of the global step.
        """
        counters = counters | self._update_shared(counters)
        for of_shard in gradients:
            variable, shard, ids = of_shard.variable, of_shard.shard, of_shard.ids
            gradient = of_shard.value
            view: PsView = ShardView(variable, shard)
            if ids is not None and self.goes_by_rows(variable):
                view = RowView(variable, shard, ids)
            elif ids is not None:
                with tf.device(ps_device(shard.ps)):
                    gradient = tf.scatter_nd(ids[:, None], gradient, shard.shape)
            self._update(variable, view, gradient, counters, scalars[shard.ps])
        if not self.counts:
            return counters[self.global_step]
        number = self.count(counters, ps=ps)
        if self.loss_scale is not None:
            self.loss_scale.add(self.loss_scale.raised(counters), counters, ps)
        return number

    def scalars(self, dtypes: Iterable[tf.DType], counters: Values) -> UpdateScalars:
        """Return the scalars for the updates of all shards of these dtypes; on the worker."""
        with ViewScope(counters) as scope:
            rate = scope.rate(self._keras)
            rates = {dtype: self._update_step.rate(rate, dtype) for dtype in dtypes}
        return UpdateScalars(rates, counters[self.global_step])

    def _update_shared(self, counters: Values) -> Values:
        """Update the variables that the updates of all others read; return their new values."""
        if not _keras.has_shared_update(self._keras):
            return VariableMap()
        with ViewScope(counters) as scope:
            _keras.update_shared(self._keras, scope.rate(self._keras))
        shared = _keras.shared_variables(self._keras)
        return VariableMap((v, view_of(v).read()) for v in shared)

    def _update(
        self,
        variable: keras.Variable,
        view: PsView,
        gradient: tf.Tensor,
        counters: Values,
        scalars: UpdateScalars,
    ) -> None:
        """Update the part of `variable` that `view` shows, on its ps."""
        counters = counters | VariableMap([(self.global_step, scalars.step)])
        with tf.device(view.device), ViewScope(counters, variable, view):
            self._write(variable, view, gradient, scalars.rates)

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
            decay = tf.cast(optimizer.weight_decay, view.dtype)
            view.assign_sub(view.read() * decay * rate.plain)
        self._update_step(gradient, view, rate)
        if variable.constraint is not None:
            view.assign(variable.constraint(view.read()))

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

    def count(self, counters: Values, *, ps: int | None = None) -> tf.Tensor:
        """Count one batch in the global step, and move the averages.

        Args:
            counters: the values of `self.counters`.
            ps: the index of the only ps to write to; None writes to all.

        Returns:
            The global step before, int64.
        """
        step = view_of(self.global_step)
        number = counters[self.global_step]
        if ps is None:
            with tf.device(step.device):
                number = take_number(native(self.global_step))
        elif ps == step.shard.ps:
            step.assign_add(tf.ones([], step.dtype))
        move_averages(self._keras, counters[self.global_step], number, ps=ps)
        return number

    def goes_by_rows(self, table: keras.Variable) -> bool:
        """Whether a step updates only the rows of `table` that its batch looked up."""
        if not self._lazy_rows:
            return False
        return has_keras_update(self._keras) and keeps_to_rows(table.constraint)
