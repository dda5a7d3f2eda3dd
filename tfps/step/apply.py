"""Apply: a ps updates its own parameters with the gradients that were pushed to it.

One op updates a shard where there is one for the Keras optimizer (see `kernels`). Else its own
`update_step` runs on the ps. It sees, in place of the variable and of each of its slot variables, a
view of the shard (or of the rows) that lies there; its `assign`, `assign_add` and `assign_sub`
become TensorFlow's native ops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tfps import _keras
from tfps._tensorflow import take_number
from tfps.params.placement import ps_device
from tfps.params.shards import native, shards
from tfps.step.averages import averaged_shards
from tfps.step.delivery import Piece
from tfps.step.kernels import Rate, UpdateStep
from tfps.step.limits import check_shards, has_keras_update, keeps_to_rows
from tfps.step.views import RowView, ShardView, Values, View, ViewScope, view_of


class Common(NamedTuple):
    """What the updates of all shards on a ps read, in one step.

    Attributes:
        rates: the learning rate, by the dtype of the shards.
        step: the global step, int64.
    """

    rates: Mapping[tf.DType, Rate]
    step: tf.Tensor

    def slowed(self, staleness: tf.Tensor) -> Common:
        """Return this with the rates divided by a staleness, int64, where it is above 1."""
        divisor = tf.maximum(staleness, 1)
        return self._replace(rates={t: rate.divided(divisor) for t, rate in self.rates.items()})


class Optimizer:
    """A Keras optimizer taken apart: what runs on the worker, and what runs on the ps."""

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
        self._loss_scale = optimizer if scaled else None
        self._keras = optimizer.inner_optimizer if scaled else optimizer
        self._lazy_rows = lazy_rows
        self._update_step = UpdateStep(self._keras)
        self._rate = _keras.learning_rate_variable(self._keras)
        self._optimized = _keras.optimized_variables(self._keras)
        check_shards(self._keras, self._optimized)

    @property
    def global_step(self) -> keras.Variable:
        """The number of updates so far: int64, scalar, one native atomic counter on a ps."""
        return _keras.global_step_variable(self._keras)

    @property
    def counters(self) -> list[keras.Variable]:
        """The scalars that a worker pulls with the parameters."""
        found = [self.global_step] + ([] if self._rate is None else [self._rate])
        if self._loss_scale is not None:
            found += [self._loss_scale.dynamic_scale, self._loss_scale.step_counter]
        return found

    @property
    def ps(self) -> list[int]:
        """The indices of the ps that updates write to."""
        written = [*self._optimized, *self.counters]
        return sorted({shard.ps for variable in written for shard in shards(variable)})

    @property
    def steps_per_update(self) -> int:
        """How many batches an update has: `gradient_accumulation_steps`, or 1."""
        return self._keras.gradient_accumulation_steps or 1

    def unscaled(
        self, gradients: Sequence[tuple[keras.Variable, tf.Tensor | None]], counters: Values
    ) -> dict[int, tf.Tensor]:
        """Return those gradients that there are, without the loss scale; on the worker.

        Args:
            gradients: one for each trainable variable; None where the loss does not depend on it.
            counters: the values of `self.counters`, by `id` of the variable.

        Returns:
            The gradients, by `id` of the variable.

        Raises:
            ValueError: if the loss depends on none of the variables.
        """
        variables, found = _keras.with_gradients(self._keras, gradients)
        scale = self._keras.loss_scale_factor
        if self._loss_scale is not None:
            scale = counters[id(self._loss_scale.dynamic_scale)]
        if scale is not None:
            found = [gradient / tf.cast(scale, gradient.dtype) for gradient in found]
        return {id(v): gradient for v, gradient in zip(variables, found, strict=True)}

    def clipped(self, gradients: Values) -> dict[int, tf.Tensor]:
        """Clip gradients, on the worker.

        A gradient by pulled rows has the norm of the gradient by the whole table, so clipping by
        norm or global norm means the same for both.
        """
        clipped = _keras.clip_gradients(self._keras, list(gradients.values()))
        return dict(zip(gradients, clipped, strict=True))

    def are_good(self, gradients: Values) -> tf.Tensor | None:
        """Return whether gradients are to be pushed, a bool scalar; None where they always are.

        Only a `LossScaleOptimizer` drops those that are not finite, as on one machine.
        """
        if self._loss_scale is None:
            return None
        finite = [tf.reduce_all(tf.math.is_finite(g)) for g in gradients.values()]
        return tf.reduce_all(tf.stack(finite))

    def drop(self, counters: Values) -> None:
        """Lower the loss scale after gradients that were not finite."""
        assert self._loss_scale is not None
        scale, steps = self._loss_scale.dynamic_scale, self._loss_scale.step_counter
        view_of(scale).assign(counters[id(scale)] * 0.5)
        view_of(steps).assign(tf.zeros([], native(steps).dtype))

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
            counters: the values of `self.counters`, by `id` of the variable.
            common: what `self.common` gave, for each ps, by its index.
            ps: the one to write to, where the others make the update at times of their own; None
                is all of them.

        Returns:
            The number of the update, on the ps of the global step; int64.
        """
        counters = {**counters, **self._update_shared(counters)}
        for piece in gradients:
            variable, shard, gradient = piece.variable, piece.shard, piece.value
            view: View = ShardView(variable, shard)
            if piece.ids is not None and self._goes_by_rows(variable):
                view = RowView(variable, shard, piece.ids)
            elif piece.ids is not None:
                with tf.device(ps_device(shard.ps)):
                    gradient = tf.scatter_nd(piece.ids[:, None], gradient, shard.shape)
            self._update(variable, view, gradient, counters, common)
        number = self.count(counters, ps=ps)
        if self._loss_scale is not None:
            self._raise_scale(counters, ps)
        return number

    def common(self, dtypes: Iterable[tf.DType], counters: Values) -> Common:
        """Return what the updates of all shards of these dtypes read; on the worker."""
        with ViewScope(counters) as scope:
            rate = scope.rate(self._keras)
            rates = {dtype: self._update_step.rate(rate, dtype) for dtype in dtypes}
        return Common(rates, counters[id(self.global_step)])

    def _update_shared(self, counters: Values) -> Values:
        """Return what the updates of all variables read, after updating it."""
        if not _keras.has_shared_update(self._keras):
            return {}
        with ViewScope(counters) as scope:
            _keras.update_shared(self._keras, scope.rate(self._keras))
        return {id(v): view_of(v).read() for v in _keras.shared_variables(self._keras)}

    def _update(
        self,
        variable: keras.Variable,
        view: View,
        gradient: tf.Tensor,
        counters: Values,
        common: Mapping[int, Common],
    ) -> None:
        """Update what `view` shows of `variable` with a gradient of the same shape, on its ps."""
        optimizer = self._keras
        rates, step = common[view.shard.ps]
        counters = {**counters, id(self.global_step): step}
        with tf.device(view.device), ViewScope(counters, variable, view):
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

    def count(self, counters: Values, *, ps: int | None = None) -> tf.Tensor:
        """Count one batch in the global step, and move the averages; on one ps, or on all.

        Returns:
            What the global step was before.
        """
        every = averaged_shards(self._keras)
        averaged = [pair for pair in every if ps in (None, pair[0].shard.ps)]
        frequency = self._keras.ema_overwrite_frequency
        step = view_of(self.global_step)
        number = counters[id(self.global_step)]
        if ps is None:
            with tf.device(step.device):
                number = take_number(native(self.global_step))
        elif ps == step.shard.ps:
            step.assign_add(tf.ones([], step.dtype))
        self._average(averaged, counters)
        if not frequency:
            return number
        for view, average in averaged:
            with tf.device(view.device):
                tf.cond((number + 1) % frequency == 0, _assignment(view, average), tf.no_op)
        return number

    def _average(self, averaged: Sequence[tuple[ShardView, ShardView]], counters: Values) -> None:
        """Move the averages of all variables, of all their rows, on their ps."""
        for view, average in averaged:
            with tf.device(view.device):
                first = counters[id(self.global_step)] == 0
                momentum = tf.where(first, 0.0, self._keras.ema_momentum)
                momentum = tf.cast(momentum, view.dtype)
                average.assign(momentum * average.read() + (1 - momentum) * view.read())

    def _raise_scale(self, counters: Values, ps: int | None) -> None:
        assert self._loss_scale is not None
        scale, steps = self._loss_scale.dynamic_scale, self._loss_scale.step_counter
        full = counters[id(steps)] >= self._loss_scale.dynamic_growth_steps - 1
        one = tf.ones([], native(steps).dtype)
        if ps in (None, view_of(steps).shard.ps):
            view_of(steps).assign_add(tf.where(full, -counters[id(steps)], one))
        if ps in (None, view_of(scale).shard.ps):
            # Not assigned: another worker may have lowered it meanwhile.
            view_of(scale).assign_add(tf.where(full, counters[id(scale)], 0.0))

    def _goes_by_rows(self, table: keras.Variable) -> bool:
        """Whether the rows of `table` are to be updated, and can be, without its other rows."""
        if not self._lazy_rows:
            return False
        return has_keras_update(self._keras) and keeps_to_rows(table.constraint)


def _assignment(target: ShardView, source: ShardView) -> Callable[[], Any]:
    def assign() -> Any:
        target.assign(source.read())
        return tf.no_op()

    return assign
