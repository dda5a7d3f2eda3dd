"""Apply: a ps updates its own parameters with the gradients that were pushed to it.

The Keras optimizer's `update_step` runs on the ps, in one op where possible (see `update_step`). In
place of a variable and its slot variables it receives views of their shards, or of rows of them, on
that ps. A view's `assign`, `assign_add` and `assign_sub` are TensorFlow's native ops.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tfps import _keras
from tfps.optimizer.averages import averaged_shards, move_averages
from tfps.optimizer.limits import looks_at_whole
from tfps.optimizer.on_worker import WorkerOptimizer
from tfps.optimizer.update_step import Rate
from tfps.optimizer.views import (
    PsView,
    RowView,
    ViewScope,
    view_of,
    view_of_part,
)
from tfps.params.placement import ps_device
from tfps.params.shards import native, update_whole, updated_parts
from tfps.params.variable_map import Values, VariableMap
from tfps.params.variables import awaited_on, locked, take_number, traced_on, variables_on
from tfps.transport.send import ShardGradient


class _Now(NamedTuple):
    """What the updates of a push read on a ps.

    Attributes:
        counters: the values of the optimizer's counters, and of what its updates share.
        rates: the learning rate for each dtype of the shards.
    """

    counters: Values
    rates: Mapping[tf.DType, Rate]

    def with_counters(self, values: Values) -> _Now:
        """Return these with other values."""
        return self._replace(counters=self.counters | values)


class PsOptimizer(WorkerOptimizer):
    """A Keras optimizer whose updates run on the ps.

    Attributes:
        counts: whether its updates count in the global step.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, *, lazy_rows: bool = True) -> None:
        """Take an optimizer that is built; the arguments are those of `WorkerOptimizer`."""
        super().__init__(optimizer, lazy_rows=lazy_rows)
        self.counts = True
        self._numbers: dict[int, tf.Variable] = {}

    def place(self) -> None:
        """Choose the ps that update variables whole, and let the ps number updates; on the chief.

        Variables are updated whole if an update looks at all of their elements.
        """
        update_whole(v for v in self.optimized if looks_at_whole(self._keras, v))
        scheduled = _keras.learning_rate_variable(self._keras) is None
        follows = scheduled or self._update_step.reads_step or self._keras.use_ema
        for ps in self.ps if follows else ():
            if ps not in self._numbers:
                with variables_on(ps):
                    self._numbers[ps] = tf.Variable(0, dtype=tf.int64, trainable=False)

    def without_count(self) -> PsOptimizer:
        """Return the same optimizer, but its updates do not count in the global step."""
        other = copy.copy(self)
        other.counts = False
        return other

    def restart(self) -> None:
        """Have all ps number their next updates from the global step on; to be called on the chief.

        It is called before each run, when nothing is under way.
        """
        if self._numbers:
            number = int(self.global_step.numpy()) // self.steps_per_update
            for variable in self._numbers.values():
                variable.assign(number)

    @property
    def is_numbered(self) -> bool:
        """Whether an update depends on its number, so that each ps has to hear of all updates."""
        return self.counts and bool(self._numbers)

    @property
    def ps(self) -> list[int]:
        """The indices of the ps that updates write to."""
        written = [*self.optimized, *self.counters]
        return sorted({part.ps for variable in written for part in updated_parts(variable)})

    def apply(
        self,
        gradients: Sequence[ShardGradient],
        counters: Mapping[int, Values],
        *,
        versions: Mapping[int, tf.Variable] = MappingProxyType({}),
        rate_scale: Callable[[int], tf.Tensor] | None = None,
        constrained: Sequence[keras.Variable] = (),
        ps: int | None = None,
        paced: bool = False,
    ) -> dict[int, tf.Tensor]:
        """Update the parameters on their ps, and count one update.

        Args:
            gradients: the gradients by shards, or by rows of shards, on their ps.
            counters: for each ps that updates, by its index, the values of `self.counters`, there.
            versions: for some ps, by their index, a variable that counts the updates there, int64.
            rate_scale: a function of the index of a ps. It returns the factor of the learning rate,
                and is called where the updates of the ps are traced. None is a factor of 1.
            constrained: variables without a gradient whose constraints are applied, too.
            ps: the index of the only ps to write to, if each ps makes its updates by itself. None
                writes to all.
            paced: whether gradients come one after the other, and a pull is not to wait for all:
                each is applied by itself, and a number does not wait for the updates.

        Returns:
            For the ps of `versions`, and the ps of the global step, by their index: the number of
            the update, int64, on that ps. It is taken after the update.
        """
        numbers: dict[int, tf.Tensor] = {}
        shared: Values = VariableMap()
        averages = self.counts and bool(_keras.moving_averages(self._keras))

        def number(counter: tf.Variable, after: Sequence[tf.Operation]) -> tf.Tensor:
            with tf.device(ps_device(at)), tf.control_dependencies(after):
                return take_number(counter)

        # The home comes first: what it computes is for the others, too.
        for at in sorted(self.ps, key=self._home.__ne__) if ps is None else [ps]:
            here = [gradient for gradient in gradients if gradient.shard.ps == at]
            dtypes = {gradient.shard.variable.dtype for gradient in here}
            if paced and at in counters:
                now = self._now(at, dtypes, counters[at], rate_scale)
                for gradient in here:
                    several = not self._is_one_op(gradient)
                    with self._alone(at, [gradient], several=several), awaited_on(at):
                        self._update(gradient, now)
            constraints = self._constraints(at, here, constrained)
            # Updates that depend on their number come in the order of the numbers.
            in_order = self.is_numbered and bool(here)
            several = not paced and (in_order or not all(map(self._is_one_op, here)))
            alone = self._alone(at, here, several=several or bool(constraints))
            with alone as end, awaited_on(at):
                with traced_on(at) as updates:
                    if at in counters and not paced:
                        now = self._now(at, dtypes, counters[at], rate_scale)
                        if at == self._home and _keras.has_shared_update(self._keras):
                            shared = self._update_shared(now.counters)
                        for gradient in here:
                            self._update(gradient, now.with_counters(shared))
                if self.counts and at == self._home and self.loss_scale is not None:
                    with tf.device(ps_device(at)):
                        self.loss_scale.raise_()
                if averages:
                    if at == self._home:
                        batch = numbers[at] = number(native(self.global_step), updates)
                    elif ps is not None:
                        batch = now.counters[self.global_step]
                    move_averages(self._keras, batch, at)
                for constraint, view in constraints:  # after the averages, as in Keras
                    with tf.device(view.device):
                        view.assign(constraint(view.read()))
            # A pull reads what counts. So it comes after the block's end, which needs no message.
            if self.counts and at == self._home and not averages:
                numbers[at] = number(native(self.global_step), end)
            if at in versions:
                numbers[at] = number(versions[at], end)
        return numbers

    def count(self, constrained: Sequence[keras.Variable]) -> None:
        """Count one batch that makes no update; as in Keras, it applies constraints all the same.

        Args:
            constrained: the variables whose constraints are applied.
        """
        self.apply([], {}, constrained=constrained)

    def lower_loss_scale(self, counters: Values) -> None:
        """Lower the loss scale after gradients that were not finite."""
        assert self.loss_scale is not None
        with locked(self._home, [counters[self.global_step]]):
            self.loss_scale.lower(counters)

    @property
    def _home(self) -> int:
        """The index of the ps of the global step."""
        return view_of(self.global_step).shard.ps

    def _alone(
        self, ps: int, gradients: Sequence[ShardGradient], *, several: bool
    ) -> AbstractContextManager[list[tf.Operation]]:
        """Let no other update run at the same time, if one of the two would be lost.

        The context gives a list that has, after the block, the ops that end it.

        Args:
            ps: the index of the ps.
            gradients: the gradients that the block needs.
            several: whether it has several ops that belong together, besides those of the loss
                scale and the averages.
        """
        scaled = self.loss_scale is not None and ps == self._home
        averaged = self.counts and bool(averaged_shards(self._keras, ps=ps))
        if scaled or averaged or several:
            return locked(ps, [gradient.value for gradient in gradients])
        return traced_on(ps)

    def _is_one_op(self, gradient: ShardGradient) -> bool:
        """Whether an update is one op, which holds the locks of its variables."""
        variable = gradient.variable
        if getattr(variable, "overwrite_with_gradient", False):
            return True
        view = self._view(gradient)
        decays = _keras.decays(self._keras, view)
        return not decays and self._update_step.is_one_op(view)

    def _view(self, gradient: ShardGradient) -> PsView:
        """Return a view of what a gradient updates."""
        if gradient.ids is not None and self.goes_by_rows(gradient.variable):
            return RowView(gradient.variable, gradient.shard, gradient.ids)
        return view_of_part(gradient.variable, gradient.shard)

    def _now(
        self,
        ps: int,
        dtypes: Iterable[tf.DType],
        counters: Values,
        rate_scale: Callable[[int], tf.Tensor] | None,
    ) -> _Now:
        """Return what the updates of a push read on a ps, besides gradients and slots.

        Their step is that of the update on this ps, and not the one at which the worker began.
        """
        with tf.device(ps_device(ps)):
            if self.is_numbered:
                every = self.steps_per_update
                step = take_number(self._numbers[ps]) * every + (every - 1)
                counters = counters | VariableMap([(self.global_step, step)])
            with ViewScope(counters) as scope:
                rate = scope.rate(self._keras)
                rates = {dtype: self._update_step.rate(rate, dtype) for dtype in dtypes}
            if rate_scale is not None:
                factor = rate_scale(ps)
                rates = {dtype: of_dtype.scaled(factor) for dtype, of_dtype in rates.items()}
        return _Now(counters, rates)

    def _update_shared(self, counters: Values) -> Values:
        """Update the variables that the updates of all others read; return their new values."""
        with ViewScope(counters) as scope:
            _keras.update_shared(self._keras, scope.rate(self._keras))
        shared = _keras.shared_variables(self._keras)
        return VariableMap((v, view_of(v).read()) for v in shared)

    def _update(self, of_shard: ShardGradient, now: _Now) -> None:
        """Update a shard, or rows of it, on its ps."""
        view, gradient = self._view(of_shard), of_shard.value
        with tf.device(view.device), ViewScope(now.counters, of_shard.variable, view):
            if of_shard.ids is not None and not isinstance(view, RowView):
                gradient = tf.scatter_nd(of_shard.ids[:, None], gradient, view.shard.shape)
            self._write(of_shard.variable, view, gradient, now.rates)

    def _constraints(
        self, ps: int, gradients: Sequence[ShardGradient], variables: Sequence[keras.Variable]
    ) -> list[tuple[Any, PsView]]:
        """Return the constraints of what gradients update, and of variables, that `ps` applies."""
        pairs = [(gradient.variable, self._view(gradient)) for gradient in gradients]
        for variable in variables:
            parts = [part for part in updated_parts(variable) if part.ps == ps]
            pairs += [(variable, view_of_part(variable, part)) for part in parts]
        return [(v.constraint, view) for v, view in pairs if v.constraint is not None]
