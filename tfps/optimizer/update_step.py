"""An optimizer's update of one shard, in one op where possible.

Keras's `update_step` is about ten ops, each of which passes over memory. Some optimizers have a
fused kernel of TensorFlow with the same formula (see `kernels`). The `update_step` of others is
compiled by XLA. Both hold the variable's lock from the first read to the last write: no update of
several workers is lost, and no pull sees half an update.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeGuard

import keras
import tensorflow as tf

from tfps import _keras
from tfps.optimizer.kernels import KERNELS, RATES, KernelArguments
from tfps.optimizer.views import PsView, ShardView, View, ViewScope
from tfps.params.variable_map import VariableMap

# Kernels and XLA round at other places than `update_step`, which would show in 16 bits.
_DTYPES = (tf.float32, tf.float64)

# Compiling takes up to a second for each shape, too long for small shards.
_LEAST_COMPILED = 4096

# TensorFlow's kernel for Adagrad uses epsilon differently. The one for RMSprop needs a momentum
# slot, which Keras does not always make. No kernel has the formula of the others.
_COMPILED = (
    keras.optimizers.Adagrad,
    keras.optimizers.Lion,
    keras.optimizers.Nadam,
    keras.optimizers.RMSprop,
    keras.optimizers.ScheduleFreeAdamW,
)

_WITHOUT_STEP = (
    keras.optimizers.Adadelta,
    keras.optimizers.Adagrad,
    keras.optimizers.Ftrl,
    keras.optimizers.Lion,
    keras.optimizers.RMSprop,
    keras.optimizers.SGD,
)


class Rate(NamedTuple):
    """The learning rate of one step, for all shards of one dtype.

    Attributes:
        plain: the rate for `update_step`, a scalar of this dtype.
        corrected: the rate for the kernel: with the bias correction, if the kernel takes no step
            number.
    """

    plain: tf.Tensor
    corrected: tf.Tensor

    def scaled(self, factor: tf.Tensor) -> Rate:
        """Return the rate multiplied by `factor`, a scalar of any dtype."""
        factor = tf.cast(factor, self.plain.dtype)
        return Rate(self.plain * factor, self.corrected * factor)


class UpdateStep:
    """An optimizer's `update_step`, in one op where possible.

    Rows of a table, a worker's own values, 16-bit dtypes, small shards without a kernel, and
    optimizers with an `update_step` of their own run the ops of `update_step`.

    Attributes:
        reads_step: whether the global step may make a difference, apart from the learning rate.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Choose the kernel for a Keras optimizer, or XLA, or neither."""
        self._optimizer = optimizer
        rule = type(optimizer).update_step
        stock: Any = next((c for c in (*KERNELS, *_COMPILED) if c.update_step is rule), None)
        self._kernel = KERNELS.get(stock)
        self._corrected = RATES.get(stock)
        self._compiles = stock in _COMPILED
        self.reads_step = rule not in {c.update_step for c in _WITHOUT_STEP}
        sgd = keras.optimizers.SGD
        self._subtracts_once = rule is sgd.update_step and not optimizer.momentum
        self._compiled: dict[Any, Any] = {}

    def rate(self, rate: tf.Tensor, dtype: tf.DType) -> Rate:
        """Return the learning rate of a step for all shards of `dtype`; in a `ViewScope`."""
        rate = tf.cast(rate, dtype)
        if self._corrected is None or dtype not in _DTYPES:
            return Rate(rate, rate)
        number = tf.cast(self._optimizer.iterations + 1, dtype)
        return Rate(rate, self._corrected(self._optimizer, rate, number))

    def is_one_op(self, view: PsView) -> bool:
        """Whether the update of what `view` shows is one op, which holds the variables' locks."""
        return self._subtracts_once or self._has_kernel(view) or self._has_xla(view)

    def _has_kernel(self, view: View) -> TypeGuard[ShardView]:
        return self._kernel is not None and isinstance(view, ShardView) and view.dtype in _DTYPES

    def _has_xla(self, view: View) -> TypeGuard[ShardView]:
        return (
            self._compiles
            and isinstance(view, ShardView)
            and view.dtype in _DTYPES
            and view.shard.num_elements >= _LEAST_COMPILED
        )

    def __call__(self, gradient: tf.Tensor, view: View, rate: Rate) -> None:
        """Update the part of a variable that `view` shows; in its `ViewScope`, on its device.

        Args:
            gradient: the gradient, of the view's shape.
            view: the view.
            rate: the result of `self.rate` for the view's dtype.
        """
        if self._has_kernel(view):
            assert self._kernel is not None
            slots = [slot.value for slot in _keras.slots(self._optimizer, view)]
            arguments = KernelArguments(
                optimizer=self._optimizer,
                variable=view.shard.variable.handle,
                slots=[slot.shard.variable.handle for slot in slots],
                gradient=tf.cast(gradient, view.dtype),
                rate=rate.corrected,
            )
            self._kernel(arguments)
        elif self._has_xla(view):
            self._run_compiled(gradient, view, rate.plain)
        else:
            self._optimizer.update_step(gradient, view, rate.plain)

    def _run_compiled(self, gradient: tf.Tensor, view: ShardView, rate: tf.Tensor) -> None:
        """Run one compiled function for all shards of a ps that have the same shape."""
        optimizer = self._optimizer
        slots = VariableMap((slot, slot.value) for slot in _keras.slots(optimizer, view))
        read = [_keras.global_step_variable(optimizer), *_keras.shared_variables(optimizer)]
        counters = [tf.convert_to_tensor(variable) for variable in read]
        key = (view.shard.ps, view.shard.shape, view.dtype)
        if key not in self._compiled:
            self._compiled[key] = self._compile(view, slots, read)
        variables = [each.shard.variable for each in (view, *slots.values())]
        self._compiled[key](variables, gradient, rate, counters)

    def _compile(
        self, view: ShardView, slots: VariableMap[PsView], read: Sequence[keras.Variable]
    ) -> Any:
        def update(
            variables: Sequence[tf.Variable],
            gradient: tf.Tensor,
            rate: tf.Tensor,
            counters: Sequence[tf.Tensor],
        ) -> None:
            pairs = zip((view, *slots.values()), variables, strict=True)
            updated, *of_slots = [_with_variable(like, to) for like, to in pairs]
            known = VariableMap(zip([*read, *slots], [*counters, *of_slots], strict=True))
            with ViewScope(known):
                self._optimizer.update_step(gradient, updated, rate)

        return tf.function(update, jit_compile=True, autograph=False)


def _with_variable(view: PsView, variable: tf.Variable) -> PsView:
    """Return a view like `view` of the shard that `variable` holds."""
    other = copy.copy(view)
    other.shard = dataclasses.replace(view.shard, variable=variable)
    return other
