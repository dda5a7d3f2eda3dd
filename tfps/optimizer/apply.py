"""Apply: a ps updates its own parameters with the gradients that were pushed to it.

One op updates a shard where there is one for the Keras optimizer (see `kernels`). Else its own
`update_step` runs on the ps. It sees, in place of the variable and of each of its slot variables, a
view of the shard (or of the rows) that lies there; its `assign`, `assign_add` and `assign_sub`
become TensorFlow's native ops.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from tfps import _keras
from tfps.optimizer.averages import move_averages
from tfps.optimizer.kernels import Rate, UpdateStep
from tfps.optimizer.limits import check_shards, has_keras_update, keeps_to_rows
from tfps.optimizer.loss_scale import LossScale
from tfps.optimizer.views import (
    LocalScope,
    LocalView,
    PsView,
    RowView,
    ShardView,
    View,
    ViewScope,
    view_of,
)
from tfps.params.placement import ps_device
from tfps.params.shards import native, shards
from tfps.params.variable_map import Values, VariableMap, VariableSet
from tfps.params.variables import take_number
from tfps.transport.delivery import Piece


class Common(NamedTuple):
    """What the updates of all shards on a ps read, in one step.

    Attributes:
        rates: the learning rate, by the dtype of the shards.
        step: the global step, int64.
    """

    rates: Mapping[tf.DType, Rate]
    step: tf.Tensor

    def scaled(self, factor: tf.Tensor) -> Common:
        """Return this with the learning rates multiplied by `factor`, a scalar of any dtype."""
        return self._replace(rates={t: rate.scaled(factor) for t, rate in self.rates.items()})


class Optimizer:
    """A Keras optimizer taken apart: what runs on the worker, and what runs on the ps.

    Attributes:
        loss_scale: its dynamic loss scale; None without one.
        counts: whether its updates are counted in the global step.
        optimized: the variables that it updates.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, *, lazy_rows: bool = True) -> None:
        """Take an optimizer that is built.

        Args:
            optimizer: the optimizer, with its slot variables.
            lazy_rows: whether a step updates only those rows of a table pulled by row, and of its
                slot variables, that its batch looked up. Plain Keras updates the others, too, with
                a gradient of zero. For SGD without momentum, and for Adagrad, that changes nothing.
                Else it moves these rows by their momentum (SGD and RMSprop with momentum, Adam,
                AdamW, Adamax, Nadam, Lion, ScheduleFreeAdamW), lowers their means of squares
                (RMSprop, Adadelta), or makes those never looked up zero (Ftrl); weight decay
                shrinks them. False does as plain Keras, and updates all rows at each step.

        Raises:
            NotImplementedError: if it updates in a way that a ps cannot.
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
        """The scalars that a worker pulls with the parameters."""
        found = [self.global_step] + ([] if self._rate is None else [self._rate])
        return found + ([] if self.loss_scale is None else self.loss_scale.variables)

    def slots_of(self, variable: keras.Variable) -> list[keras.Variable]:
        """Return the slot variables of one of the variables that have its shape."""
        found = _keras.slots(self._keras, native(variable))
        return [slot for slot in found if tuple(slot.shape) == tuple(variable.shape)]

    def slots(self, *, but_of: Sequence[keras.Variable]) -> list[keras.Variable]:
        """Return what the optimizer keeps, but for counters, averages, and slots of some tables."""
        apart = [*self.counters, *(average for _, average in _keras.moving_averages(self._keras))]
        if has_keras_update(self._keras):
            tables = [v for v in self.optimized if any(v is table for table in but_of)]
            apart += [slot for table in tables for slot in self.slots_of(table)]
        others = VariableSet(apart)
        return [v for v in self._keras.variables if v not in others]

    def without_count(self) -> Optimizer:
        """Return the same optimizer, whose updates are not counted: others are."""
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
        """How many batches an update has: `gradient_accumulation_steps`, or 1."""
        return self._keras.gradient_accumulation_steps or 1

    def unscaled(
        self, gradients: Sequence[tuple[keras.Variable, tf.Tensor | None]], counters: Values
    ) -> Values:
        """Return the gradients that are not None, without the loss scale; on the worker.

        Args:
            gradients: one for each trainable variable; None where the loss does not depend on it.
            counters: the values of `self.counters`.

        Raises:
            ValueError: if the loss depends on none of the variables.
        """
        variables, found = _keras.with_gradients(self._keras, gradients)
        scale = self._keras.loss_scale_factor
        if self.loss_scale is not None:
            scale = self.loss_scale.value(counters)
        if scale is not None:
            found = [gradient / tf.cast(scale, gradient.dtype) for gradient in found]
        return VariableMap(zip(variables, found, strict=True))

    def clipped(self, gradients: Values) -> Values:
        """Clip gradients, on the worker.

        A gradient by pulled rows has the norm of the gradient by the whole table, so clipping by
        norm or global norm means the same for both.
        """
        clipped = _keras.clip_gradients(self._keras, list(gradients.values()))
        return VariableMap(zip(gradients, clipped, strict=True))

    def are_good(self, gradients: Values) -> tf.Tensor | None:
        """Return whether gradients are to be pushed, a bool scalar; None where they always are.

        Only a `LossScaleOptimizer` drops those that are not finite, as on one machine.
        """
        if self.loss_scale is None:
            return None
        finite = [tf.reduce_all(tf.math.is_finite(g)) for g in gradients.values()]
        return tf.reduce_all(tf.stack(finite))

    def apply(
        self,
        gradients: Sequence[Piece],
        counters: Values,
        common: Mapping[int, Common],
        *,
        ps: int | None = None,
    ) -> tf.Tensor:
        """Update the parameters on their ps, and count one update.

        Args:
            gradients: of shards and of rows of shards, on their ps.
            counters: the values of `self.counters`.
            common: what `self.common` gave, for each ps, by its index.
            ps: the one to write to, where the others make the update at times of their own; None
                is all of them.

        Returns:
            The number of the update, on the ps of the global step; int64.
        """
        counters = counters | self._update_shared(counters)
        for piece in gradients:
            variable, shard, gradient = piece.variable, piece.shard, piece.value
            view: PsView = ShardView(variable, shard)
            if piece.ids is not None and self.goes_by_rows(variable):
                view = RowView(variable, shard, piece.ids)
            elif piece.ids is not None:
                with tf.device(ps_device(shard.ps)):
                    gradient = tf.scatter_nd(piece.ids[:, None], gradient, shard.shape)
            self._update(variable, view, gradient, counters, common)
        if not self.counts:
            return counters[self.global_step]
        number = self.count(counters, ps=ps)
        if self.loss_scale is not None:
            self.loss_scale.add(self.loss_scale.raised(counters), counters, ps)
        return number

    def common(self, dtypes: Iterable[tf.DType], counters: Values) -> Common:
        """Return what the updates of all shards of these dtypes read; on the worker."""
        with ViewScope(counters) as scope:
            rate = scope.rate(self._keras)
            rates = {dtype: self._update_step.rate(rate, dtype) for dtype in dtypes}
        return Common(rates, counters[self.global_step])

    def _update_shared(self, counters: Values) -> Values:
        """Return what the updates of all variables read, after updating it."""
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
        common: Mapping[int, Common],
    ) -> None:
        """Update what `view` shows of `variable` with a gradient of the same shape, on its ps."""
        rates, step = common[view.shard.ps]
        counters = counters | VariableMap([(self.global_step, step)])
        with tf.device(view.device), ViewScope(counters, variable, view):
            self._write(variable, view, gradient, rates)

    def _write(
        self,
        variable: keras.Variable,
        view: View,
        gradient: tf.Tensor,
        rates: Mapping[tf.DType, Rate],
    ) -> None:
        """Update what `view` shows of `variable`, by the optimizer's rule; in a scope of it."""
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

    def update_own(
        self,
        gradients: Sequence[tuple[keras.Variable, tf.Tensor]],
        views: VariableMap[LocalView],
        counters: Values,
        own_step: tf.Tensor,
    ) -> None:
        """Update values that a worker has for itself; on the worker.

        Args:
            gradients: variables and their gradients, of the shapes of their views.
            views: of these variables and of all slot variables.
            counters: the values of `self.counters`; the learning rate follows from them.
            own_step: how many updates the slot variables have had, int64.
        """
        with LocalScope(counters, views):
            rate = tf.convert_to_tensor(self._keras.learning_rate)
        own_counters = counters | VariableMap([(self.global_step, own_step)])
        with LocalScope(own_counters, views):
            if _keras.has_shared_update(self._keras):
                _keras.update_shared(self._keras, rate)
            for variable, gradient in gradients:
                view = views[variable]
                own = tf.cast(rate, view.dtype)
                self._write(variable, view, gradient, {view.dtype: Rate(own, own)})

    def count(self, counters: Values, *, ps: int | None = None) -> tf.Tensor:
        """Count one batch in the global step, and move the averages; on one ps, or on all.

        Returns:
            What the global step was before.
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
        """Whether the rows of `table` are to be updated, and can be, without its other rows."""
        if not self._lazy_rows:
            return False
        return has_keras_update(self._keras) and keeps_to_rows(table.constraint)
