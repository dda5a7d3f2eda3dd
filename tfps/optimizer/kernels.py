"""Kernels: TensorFlow's fused ops that update a whole shard.

Each has the formula of one Keras optimizer. It holds the variable's lock from the first read to the
last write (`use_locking`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf


@dataclasses.dataclass(frozen=True, kw_only=True)
class KernelArguments:
    """The arguments of a kernel.

    Attributes:
        optimizer: the Keras optimizer, which holds the hyperparameters.
        variable: the handle of the shard.
        slots: the handles of its slot variables, in the order of `_keras.slots`.
        gradient: the gradient, of the shard's shape and dtype.
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


def _sgd(args: KernelArguments) -> None:
    if not args.slots:
        tf.raw_ops.ResourceApplyGradientDescent(
            var=args.variable, alpha=args.rate, delta=args.gradient, use_locking=True
        )
        return
    (momentum,) = args.slots
    tf.raw_ops.ResourceApplyKerasMomentum(
        var=args.variable,
        accum=momentum,
        lr=args.rate,
        grad=args.gradient,
        momentum=args.scalar(args.optimizer.momentum),
        use_nesterov=args.optimizer.nesterov,
        use_locking=True,
    )


def _adam(args: KernelArguments) -> None:
    optimizer = args.optimizer
    momentum, velocity, *largest = args.slots
    arguments = {
        "var": args.variable,
        "m": momentum,
        "v": velocity,
        "beta1_power": args.scalar(0),  # the rate is corrected for it
        "beta2_power": args.scalar(0),
        "lr": args.rate,
        "beta1": args.scalar(optimizer.beta_1),
        "beta2": args.scalar(optimizer.beta_2),
        "epsilon": args.scalar(optimizer.epsilon),
        "grad": args.gradient,
        "use_locking": True,
    }
    if optimizer.amsgrad:
        tf.raw_ops.ResourceApplyAdamWithAmsgrad(vhat=largest[0], **arguments)
    else:
        tf.raw_ops.ResourceApplyAdam(**arguments)


def _adamax(args: KernelArguments) -> None:
    momentum, norm = args.slots
    tf.raw_ops.ResourceApplyAdaMax(
        var=args.variable,
        m=momentum,
        v=norm,
        beta1_power=args.scalar(0),  # the rate is corrected for it
        lr=args.rate,
        beta1=args.scalar(args.optimizer.beta_1),
        beta2=args.scalar(args.optimizer.beta_2),
        epsilon=args.scalar(args.optimizer.epsilon),
        grad=args.gradient,
        use_locking=True,
    )


def _adadelta(args: KernelArguments) -> None:
    gradients, deltas = args.slots
    tf.raw_ops.ResourceApplyAdadelta(
        var=args.variable,
        accum=gradients,
        accum_update=deltas,
        lr=args.rate,
        rho=args.scalar(args.optimizer.rho),
        epsilon=args.scalar(args.optimizer.epsilon),
        grad=args.gradient,
        use_locking=True,
    )


def _ftrl(args: KernelArguments) -> None:
    optimizer = args.optimizer
    accumulator, linear = args.slots
    # A rate of 0 is an error here; in Keras it makes every weight NaN.
    tf.raw_ops.ResourceApplyFtrlV2(
        var=args.variable,
        accum=accumulator,
        linear=linear,
        grad=args.gradient,
        lr=args.rate,
        l1=args.scalar(optimizer.l1_regularization_strength),
        l2=args.scalar(optimizer.l2_regularization_strength) + optimizer.beta / (2 * args.rate),
        l2_shrinkage=args.scalar(optimizer.l2_shrinkage_regularization_strength),
        lr_power=args.scalar(optimizer.learning_rate_power),
        use_locking=True,
    )


KERNELS: dict[type[keras.optimizers.Optimizer], Callable[[KernelArguments], None]] = {
    keras.optimizers.Adadelta: _adadelta,
    keras.optimizers.Adam: _adam,
    keras.optimizers.Adamax: _adamax,
    keras.optimizers.Ftrl: _ftrl,
    keras.optimizers.SGD: _sgd,
}
"""The kernel of each Keras optimizer that has one."""


def _adam_rate(optimizer: Any, rate: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    rate *= tf.sqrt(1 - _power(optimizer.beta_2, number)) / (1 - _power(optimizer.beta_1, number))
    return rate * tf.sqrt(_rounding(optimizer.beta_2, number)) / _rounding(optimizer.beta_1, number)


def _adamax_rate(optimizer: Any, rate: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    return rate / (1 - _power(optimizer.beta_1, number)) / _rounding(optimizer.beta_1, number)


def _power(beta: float, number: tf.Tensor) -> tf.Tensor:
    return tf.pow(tf.cast(beta, number.dtype), number)  # the cast is Keras's, by way of float32


def _rounding(beta: float, number: tf.Tensor) -> tf.Tensor:
    """Return the ratio of the kernel's moving average to Keras's.

    They round the weight `1 - beta` of a new value differently: a kernel computes it from `beta` in
    its own dtype, Keras in float64. For 0.999 in float32 the results differ by 1e-5. The ratio is
    exact for an average of equal values; else a difference remains in the slot variables.
    """
    kept = tf.cast(tf.convert_to_tensor(beta, number.dtype), tf.float64)
    new = tf.cast(tf.convert_to_tensor(1 - beta, number.dtype), tf.float64)
    exponent = tf.cast(number, tf.float64)
    return tf.cast((1 - kept**exponent) / (1 - (1 - new) ** exponent), number.dtype)


RATES: dict[type[keras.optimizers.Optimizer], Callable[..., tf.Tensor]] = {
    keras.optimizers.Adam: _adam_rate,
    keras.optimizers.Adamax: _adamax_rate,
}
"""For kernels that take no step number: functions of (optimizer, rate, number of the update) that
return the learning rate with the bias correction."""
