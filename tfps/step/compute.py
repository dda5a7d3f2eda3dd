"""Compute: a Keras model's own `train_step`, as a pure function of the pulled values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from typing_extensions import override

from tfps._keras import StepScope
from tfps._tensorflow import watch
from tfps.params.variable_map import Values, VariableMap
from tfps.transport.rows import Rows
from tfps.transport.tree import take_apart


@dataclasses.dataclass(frozen=True, kw_only=True)
class Applied:
    """The gradients with which a step called an optimizer's `apply`.

    Attributes:
        optimizer: the optimizer.
        gradients: variables, each with its gradient. A table's is the gradient of the pulled rows;
            None if the loss does not depend on the variable.
    """

    optimizer: keras.optimizers.Optimizer
    gradients: Sequence[tuple[keras.Variable, tf.Tensor | None]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Computed:
    """The result of one computation.

    Attributes:
        output: what the computation returned.
        applied: the calls of its optimizers' `apply`, in order.
        values: the values of the requested variables after the computation.
    """

    output: Any
    applied: Sequence[Applied]
    values: Values


class ComputeScope(StepScope):
    """A scope in which every variable has the value that was pulled for it."""

    def __init__(self, values: Values, rows: VariableMap[Rows]) -> None:
        super().__init__()
        self.applied: list[Applied] = []
        self._values = VariableMap(values)
        self._rows = rows
        self._lookups = VariableMap((v, iter(pulled.inverse)) for v, pulled in rows.items())

    @override
    def get_current_value(self, variable: keras.Variable) -> tf.Tensor | None:
        if variable in self._rows:
            raise RuntimeError(
                f"Table {variable.path!r} was only looked up by row when the step was first "
                "traced, and is now read whole. Make the model do the same in every trace."
            )
        value = self._values.get(variable)
        if value is not None and variable.trainable:
            watch(value)
        written = super().get_current_value(variable)
        if written is None or value is None or not variable.trainable:
            return value if written is None else written
        # As with a variable, the gradient does not flow through what was assigned, and reads after
        # the assignment count like those before.
        return tf.stop_gradient(written) + (value - tf.stop_gradient(value))

    @override
    def take(self, variable: keras.Variable, indices: Any) -> tf.Tensor | None:
        pulled = self._rows.get(variable)
        if pulled is None:
            return None
        if variable.trainable:
            watch(pulled.values)
        inverse = next(self._lookups[variable])
        return tf.cast(tf.gather(pulled.values, inverse), variable.dtype)

    @override
    def source(self, variable: keras.Variable) -> tf.Tensor:
        if variable in self._rows:
            return self._rows[variable].values
        if variable not in self._values:
            # The computation does not read it: the gradient with respect to this tensor is None.
            self._values[variable] = tf.zeros(tuple(variable.shape), variable.dtype)
        return self._values[variable]

    @override
    def apply(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: Sequence[Any],
        variables: Sequence[keras.Variable],
    ) -> None:
        dense = [None if g is None else tf.convert_to_tensor(g) for g in gradients]
        pairs = list(zip(variables, dense, strict=True))
        self.applied.append(Applied(optimizer=optimizer, gradients=pairs))

    def value_after(self, variable: keras.Variable) -> tf.Tensor:
        """Return the value of `variable` at the end of the computation."""
        written = super().get_current_value(variable)
        return self._values[variable] if written is None else written


def compute(
    computation: Callable[[Any], Any],
    batch: Any,
    *,
    whole: Values,
    rows: VariableMap[Rows],
    own: Values,
    kept: Sequence[keras.Variable],
) -> Computed:
    """Run `computation` on `batch` with the pulled values.

    It may read and write variables, use gradient tapes, and call its optimizers' `apply`, as a
    `train_step` does. None of this changes the variables.

    Args:
        computation: takes the batch.
        batch: an element of the dataset, any structure of tensors.
        whole: the whole values that were pulled.
        rows: for each table the rows that were pulled.
        own: the values of variables that each worker has for itself: metric state, seeds.
        kept: the variables whose values after the computation are wanted.
    """
    scope = ComputeScope(whole | own, rows)
    with scope:
        output = computation(batch)
    return Computed(
        output=output,
        applied=scope.applied,
        values=VariableMap((variable, scope.value_after(variable)) for variable in kept),
    )


class ComputeFunction:
    """A computation as a TensorFlow function of its own, inside of a worker's function."""

    def __init__(
        self, function: Callable[..., Computed], *arguments: Any, jit_compile: bool = False
    ) -> None:
        """Trace `function` for these arguments, structures of tensors of the default graph.

        With `jit_compile`, XLA compiles it on the worker, once for each combination of the
        arguments' shapes.
        """
        tensors, build = take_apart(arguments)

        def flat(*given: tf.Tensor) -> list[tf.Tensor]:
            results, self._build = take_apart(function(*build(given)))
            return results

        specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in tensors]
        self._function = tf.function(
            flat, autograph=False, jit_compile=jit_compile or None
        ).get_concrete_function(*specs)

    def __call__(self, *arguments: Any) -> Computed:
        """Compute, for arguments of the same structure and dtypes as in the trace."""
        tensors, _ = take_apart(arguments)
        return self._build(self._function(*tensors))

    def placeholders(self) -> Computed:
        """Return a `Computed` of symbolic tensors, with the shapes that a result may have."""
        return self._build(self._function.outputs)
