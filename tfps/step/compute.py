"""Compute: a Keras model's own `train_step`, as a pure function of the pulled values."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from typing_extensions import override

from tfps import _keras
from tfps._keras import StepScope
from tfps._tensorflow import in_current_graph, watched
from tfps.params.variable_map import Values, VariableMap
from tfps.step.probe import ApplyCall
from tfps.transport.rows import Rows
from tfps.transport.tree import take_apart
from tfps.worker.step_variables import StepVariables


@dataclasses.dataclass(frozen=True, kw_only=True)
class Applied:
    """The gradients with which a step called an optimizer's `apply`.

    Attributes:
        number: the number of the call in `Demand.applied`.
        gradients: variables, each with its gradient. A table's is the gradient of the pulled rows;
            None if the loss does not depend on the variable.
        counters: the values of those of the optimizer's counters that the step has changed.
    """

    number: int
    gradients: Sequence[tuple[keras.Variable, tf.Tensor | None]]
    counters: Values


@dataclasses.dataclass(frozen=True, kw_only=True)
class Computed:
    """The result of one computation.

    Attributes:
        output: what the computation returned.
        applied: the calls of `apply` that are still to be pushed, in order.
        values: the values of the requested variables after the computation.
        bases: for some of these, what their ps hold: others were not changed since the pull.
        assigned: for some of these, whether they were assigned to, a bool scalar: others were.
        sums: what `InlineApply.end` returned.
    """

    output: Any
    applied: Sequence[Applied]
    values: Values
    bases: Values
    assigned: Values
    sums: tf.Tensor | None


class InlineApply(abc.ABC):
    """What the calls of `apply` do whose effect a computation sees; in a worker's function."""

    def begin(self) -> None:  # noqa: B027
        """Begin a computation."""

    @abc.abstractmethod
    def apply(self, applied: Applied) -> None:
        """Apply gradients, and set the step variables that this changes to their new values."""

    def end(self) -> tf.Tensor | None:
        """End the computation; return what it sent and received: see `InlineState.sums`."""
        return None


class ComputeScope(StepScope):
    """A scope in which every variable has the value that was pulled for it."""

    def __init__(
        self,
        values: Values,
        rows: VariableMap[Rows],
        calls: Sequence[ApplyCall],
        variables: StepVariables,
        inline: InlineApply,
    ) -> None:
        super().__init__()
        self.applied: list[Applied] = []
        self._graph = tf.compat.v1.get_default_graph()
        self._values = VariableMap(values)
        self._rows = rows
        self._lookups = VariableMap((v, iter(pulled.inverse)) for v, pulled in rows.items())
        self._calls = list(enumerate(calls))
        self._variables = variables
        self._inline = inline

    @override
    def get_current_value(self, variable: keras.Variable) -> tf.Tensor | None:
        if variable in self._rows:
            raise RuntimeError(
                f"Table {variable.path!r} was only looked up by row when the step was first "
                "traced, and is now read whole. Make the model do the same in every trace."
            )
        value = self._values.get(variable)
        if value is None:
            return self._written(variable)
        return self._followed(variable, value, self._written(variable))

    def _written(self, variable: keras.Variable) -> tf.Tensor | None:
        """Return what a variable holds, if the step may have changed it."""
        if variable in self._variables:
            return self._variables.read(variable)
        return super().get_current_value(variable)

    def _followed(
        self, variable: keras.Variable, pulled: tf.Tensor, written: tf.Tensor | None
    ) -> tf.Tensor:
        """Return what a variable holds, for tapes to differentiate by what was pulled for it.

        As with a variable, the gradient does not flow through what was assigned, and reads after
        an assignment count like those before.
        """
        if not variable.trainable:
            return in_current_graph(pulled) if written is None else tf.stop_gradient(written)
        pulled = watched(pulled)
        return pulled if written is None else _instead_of(pulled, written)

    @override
    def take(self, variable: keras.Variable, indices: Any) -> tf.Tensor | None:
        pulled = self._rows.get(variable)
        if pulled is None:
            return None
        written = self._variables.read(variable) if variable in self._variables else None
        rows = self._followed(variable, pulled.values, written)
        inverse = next(self._lookups[variable])
        return tf.cast(tf.gather(rows, inverse), variable.dtype)

    @override
    def source(self, variable: keras.Variable) -> tf.Tensor:
        if variable in self._rows:
            return in_current_graph(self._rows[variable].values)
        if variable not in self._values:
            # The computation does not read it: the gradient with respect to this tensor is None.
            with self._graph.as_default():
                self._values[variable] = tf.zeros(tuple(variable.shape), variable.dtype)
        return in_current_graph(self._values[variable])

    @override
    def add_update(self, update: tuple[keras.Variable, tf.Tensor]) -> None:
        variable, value = update[0], tf.convert_to_tensor(update[1])  # it may be a variable, too
        if variable in self._variables:
            self._variables.assign(variable, value)
        else:
            super().add_update((variable, value))

    @override
    def apply(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: Sequence[Any],
        variables: Sequence[keras.Variable],
    ) -> None:
        number, call = self._next_call(optimizer, variables)
        dense = [None if g is None else tf.convert_to_tensor(g) for g in gradients]
        counters = [(v, self._written(v)) for v in _keras.counters(optimizer)]
        applied = Applied(
            number=number,
            gradients=list(zip(variables, dense, strict=True)),
            counters=VariableMap((v, value) for v, value in counters if value is not None),
        )
        if call.is_inline:
            self._inline.apply(applied)
        else:
            self.applied.append(applied)

    def _next_call(
        self, optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]
    ) -> tuple[int, ApplyCall]:
        number, call = self._calls.pop(0) if self._calls else (0, None)
        if call is None or [id(v) for v in call.variables] != [id(v) for v in variables]:
            raise RuntimeError(
                f"{optimizer.name}.apply on {len(variables)} variables was not called here when "
                "the step was first traced. Make the step do the same in every trace."
            )
        return number, call

    def value_after(self, variable: keras.Variable) -> tf.Tensor:
        """Return the value of `variable` at the end of the computation."""
        written = self._written(variable)
        return self._values[variable] if written is None else written


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _instead_of(pulled: tf.Tensor, written: tf.Tensor) -> Any:
    """Return `written`; its gradient is that of `pulled`."""
    return tf.identity(written), lambda gradient: (gradient, None)


def compute(
    computation: Callable[[Any], Any],
    batch: Any,
    *,
    whole: Values,
    rows: VariableMap[Rows],
    own: Values,
    kept: Sequence[keras.Variable],
    calls: Sequence[ApplyCall],
    variables: StepVariables,
    inline: InlineApply,
) -> Computed:
    """Run `computation` on `batch` with the pulled values.

    It may read and write variables, use gradient tapes, and call its optimizers' `apply`, as a
    `train_step` does. None of this changes the variables, except for what `inline` applies.

    Args:
        computation: takes the batch.
        batch: an element of the dataset, any structure of tensors.
        whole: the whole values that were pulled.
        rows: for each table the rows that were pulled.
        own: the values of variables that each worker has for itself: metric state, seeds.
        kept: the variables whose values after the computation are wanted.
        calls: the calls of `apply` that it will make.
        variables: stand for the parameters that must be variables meanwhile.
        inline: applies the gradients of calls whose effect the computation sees.
    """
    values = whole | own
    variables.load(VariableMap((v, value) for v, value in values.items() if v in variables))
    variables.load(VariableMap((v, r.values) for v, r in rows.items() if v in variables))
    inline.begin()
    scope = ComputeScope(values, rows, calls, variables, inline)
    with scope:
        output = computation(batch)
    live = [variable for variable in kept if variable in variables]
    return Computed(
        output=output,
        applied=scope.applied,
        values=VariableMap((variable, scope.value_after(variable)) for variable in kept),
        bases=VariableMap((variable, variables.base(variable)) for variable in live),
        assigned=VariableMap((variable, variables.is_assigned(variable)) for variable in live),
        sums=inline.end(),
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
