"""Kernels: the update of a whole shard in one op on its ps.

Keras's `update_step` is about ten ops, and each of them passes over memory. For some optimizers
TensorFlow has a fused kernel with the same formula; the `update_step` of others is compiled by
XLA. Either holds the variable's lock from the first read to the last write (a kernel by
`use_locking`): of what several workers push at the same time nothing is lost, and no pull sees
half an update.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tfps import _keras
from tfps.optimizer.views import PsView, ShardView, View, ViewScope
from tfps.params.variable_map import VariableMap

# In 16 bits it shows that a kernel, and XLA, round at other places than `update_step`.
_DTYPES = (tf.float32, tf.float64)


class Rate(NamedTuple):
    """The learning rate of one step, for all shards of one dtype.

    Attributes:
        plain: the rate that `update_step` takes, a scalar of this dtype.
        corrected: the rate that the kernel takes, where that has no step number; else the same.
    """

    plain: tf.Tensor
    corrected: tf.Tensor

    def scaled(self, factor: tf.Tensor) -> Rate:
        """Return the rate multiplied by `factor`, a scalar of any dtype."""
        factor = tf.cast(factor, self.plain.dtype)
        return Rate(self.plain * factor, self.corrected * factor)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """What a kernel is given.

    Attributes:
        optimizer: holds the hyperparameters.
        variable: the handle of the shard.
        slots: the handles of its slot variables, in the order of `_keras.slots`.
        gradient: of the shard's shape and dtype.
        rate: the corrected learning rate, a scalar of the shard's dtype.
    """

    optimizer: keras.optimizers.Optimizer
    variable: tf.Tensor
    slots: Sequence[tf.Tensor]
    gradient: tf.Tensor
    rate: tf.Tensor

    def scalar(self, value: float) -> tf.Tensor:
        """Return a hyperparameter in the shard's dtype."""
        return tf.convert_to_tensor(value, self.gradient.dtype)


def _sgd(step: Step) -> None:
    if not step.slots:
        tf.raw_ops.ResourceApplyGradientDescent(
            var=step.variable, alpha=step.rate, delta=step.gradient, use_locking=True
        )
        return
    (momentum,) = step.slots
    tf.raw_ops.ResourceApplyKerasMomentum(
        var=step.variable,
        accum=momentum,
        lr=step.rate,
        grad=step.gradient,
        momentum=step.scalar(step.optimizer.momentum),
        use_nesterov=step.optimizer.nesterov,
        use_locking=True,
    )


def _adam(step: Step) -> None:
    optimizer = step.optimizer
    momentum, velocity, *largest = step.slots
    arguments = {
        "var": step.variable,
        "m": momentum,
        "v": velocity,
        "beta1_power": step.scalar(0),  # the rate is corrected for it
        "beta2_power": step.scalar(0),
        "lr": step.rate,
        "beta1": step.scalar(optimizer.beta_1),
        "beta2": step.scalar(optimizer.beta_2),
        "epsilon": step.scalar(optimizer.epsilon),
        "grad": step.gradient,
        "use_locking": True,
    }
    if optimizer.amsgrad:
        tf.raw_ops.ResourceApplyAdamWithAmsgrad(vhat=largest[0], **arguments)
    else:
        tf.raw_ops.ResourceApplyAdam(**arguments)


def _adamax(step: Step) -> None:
    momentum, norm = step.slots
    tf.raw_ops.ResourceApplyAdaMax(
        var=step.variable,
        m=momentum,
        v=norm,
        beta1_power=step.scalar(0),  # the rate is corrected for it
        lr=step.rate,
        beta1=step.scalar(step.optimizer.beta_1),
        beta2=step.scalar(step.optimizer.beta_2),
        epsilon=step.scalar(step.optimizer.epsilon),
        grad=step.gradient,
        use_locking=True,
    )


def _adadelta(step: Step) -> None:
    gradients, deltas = step.slots
    tf.raw_ops.ResourceApplyAdadelta(
        var=step.variable,
        accum=gradients,
        accum_update=deltas,
        lr=step.rate,
        rho=step.scalar(step.optimizer.rho),
        epsilon=step.scalar(step.optimizer.epsilon),
        grad=step.gradient,
        use_locking=True,
    )


def _ftrl(step: Step) -> None:
    optimizer = step.optimizer
    accumulator, linear = step.slots
    # A rate of 0 is an error here; in Keras it makes every weight NaN.
    tf.raw_ops.ResourceApplyFtrlV2(
        var=step.variable,
        accum=accumulator,
        linear=linear,
        grad=step.gradient,
        lr=step.rate,
        l1=step.scalar(optimizer.l1_regularization_strength),
        l2=step.scalar(optimizer.l2_regularization_strength) + optimizer.beta / (2 * step.rate),
        l2_shrinkage=step.scalar(optimizer.l2_shrinkage_regularization_strength),
        lr_power=step.scalar(optimizer.learning_rate_power),
        use_locking=True,
    )


_KERNELS: dict[type[keras.optimizers.Optimizer], Callable[[Step], None]] = {
    keras.optimizers.Adadelta: _adadelta,
    keras.optimizers.Adam: _adam,
    keras.optimizers.Adamax: _adamax,
    keras.optimizers.Ftrl: _ftrl,
    keras.optimizers.SGD: _sgd,
}


def _adam_rate(optimizer: Any, rate: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    rate *= tf.sqrt(1 - _power(optimizer.beta_2, number)) / (1 - _power(optimizer.beta_1, number))
    return rate * tf.sqrt(_rounding(optimizer.beta_2, number)) / _rounding(optimizer.beta_1, number)


def _adamax_rate(optimizer: Any, rate: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    return rate / (1 - _power(optimizer.beta_1, number)) / _rounding(optimizer.beta_1, number)


def _power(beta: float, number: tf.Tensor) -> tf.Tensor:
    return tf.pow(tf.cast(beta, number.dtype), number)  # the cast is Keras's, by way of float32


def _rounding(beta: float, number: tf.Tensor) -> tf.Tensor:
    """Return how many times Keras's moving average the kernel's is, because of rounding.

    What is new counts `1 - beta` of an average. A kernel computes that from `beta` in its own
    dtype, Keras in float64: for 0.999 in float32 they are 1e-5 apart. The quotient is exact for an
    average of equal values; the slot variables keep what there is of a difference.
    """
    kept = tf.cast(tf.convert_to_tensor(beta, number.dtype), tf.float64)
    new = tf.cast(tf.convert_to_tensor(1 - beta, number.dtype), tf.float64)
    exponent = tf.cast(number, tf.float64)
    return tf.cast((1 - kept**exponent) / (1 - (1 - new) ** exponent), number.dtype)


_RATES = {keras.optimizers.Adam: _adam_rate, keras.optimizers.Adamax: _adamax_rate}

# Compiling takes up to a second for each shape, which what is small never makes up for.
_LEAST_COMPILED = 4096

# TensorFlow's kernels for Adagrad have another epsilon, and those for RMSprop a momentum in a slot
# that Keras does not always make. There is none with the formula of the others.
_COMPILED = (
    keras.optimizers.Adagrad,
    keras.optimizers.Lion,
    keras.optimizers.Nadam,
    keras.optimizers.RMSprop,
    keras.optimizers.ScheduleFreeAdamW,
)


class UpdateStep:
    """An optimizer's `update_step`, in one op where there is one.

    Rows of a table, a worker's own values, 16-bit dtypes, small shards without a kernel, and
    optimizers whose `update_step` is not that of one of Keras's classes above, take the ops of the
    `update_step`.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer) -> None:
        self._optimizer = optimizer
        own = type(optimizer).update_step
        stock: Any = next((c for c in (*_KERNELS, *_COMPILED) if c.update_step is own), None)
        self._kernel = _KERNELS.get(stock)
        self._corrected = _RATES.get(stock)
        self._compiles = stock in _COMPILED
        self._compiled: dict[Any, Any] = {}

    def rate(self, rate: tf.Tensor, dtype: tf.DType) -> Rate:
        """Return the learning rate of a step for all shards of a dtype; in a `ViewScope`."""
        rate = tf.cast(rate, dtype)
        if self._corrected is None or dtype not in _DTYPES:
            return Rate(rate, rate)
        number = tf.cast(self._optimizer.iterations + 1, dtype)
        return Rate(rate, self._corrected(self._optimizer, rate, number))

    def __call__(self, gradient: tf.Tensor, view: View, rate: Rate) -> None:
        """Update what `view` shows of a variable; in a `ViewScope` of it, under its device.

        Args:
            gradient: of the view's shape.
            view: the variable's.
            rate: what `self.rate` gave for the view's dtype.
        """
        if not isinstance(view, ShardView) or view.dtype not in _DTYPES:
            self._optimizer.update_step(gradient, view, rate.plain)
        elif self._kernel is not None:
            slots = [slot.value for slot in _keras.slots(self._optimizer, view)]
            step = Step(
                optimizer=self._optimizer,
                variable=view.shard.variable.handle,
                slots=[slot.shard.variable.handle for slot in slots],
                gradient=tf.cast(gradient, view.dtype),
                rate=rate.corrected,
            )
            self._kernel(step)
        elif self._compiles and view.shard.num_elements >= _LEAST_COMPILED:
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
        variables = [seen.shard.variable for seen in (view, *slots.values())]
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
            seen = [_moved(v, to) for v, to in zip((view, *slots.values()), variables, strict=True)]
            known = VariableMap(zip([*read, *slots], [*counters, *seen[1:]], strict=True))
            with ViewScope(known):
                self._optimizer.update_step(gradient, seen[0], rate)

        return tf.function(update, jit_compile=True, autograph=False)


def _moved(view: PsView, variable: tf.Variable) -> PsView:
    """Return a view like `view` of another shard."""
    other = copy.copy(view)
    other.shard = dataclasses.replace(view.shard, variable=variable)
    return other
