"""Compute: a Keras model as a pure function of what was pulled."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from typing_extensions import override

from tfps._keras import RowScope


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rows:
    """The pulled rows of one table.

    Attributes:
        values: the unique rows, of shape `(num_unique, *width)`.
        inverse: for each lookup of the step, positions in `values`, of the lookup's shape.
    """

    values: tf.Tensor
    inverse: Sequence[tf.Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Computed:
    """What one computation gave.

    Attributes:
        output: what the computation returned.
        whole_gradients: of the output by each whole trainable variable; None where it does not
            depend on it.
        row_gradients: of the output by the pulled rows of each trainable table, one row for each.
        values: the value of each variable after the computation, by `id`.
    """

    output: Any
    whole_gradients: list[tf.Tensor | None]
    row_gradients: list[tf.Tensor]
    values: Mapping[int, tf.Tensor]


class Pulled(RowScope):
    """A scope in which every variable takes the value that was pulled for it."""

    def __init__(
        self, values: Sequence[tuple[keras.Variable, tf.Tensor]], rows: Mapping[int, Rows]
    ) -> None:
        super().__init__(state_mapping=values, initialize_variables=False)
        self._rows = rows
        self._unanswered = {key: iter(pulled.inverse) for key, pulled in rows.items()}

    @override
    def get_current_value(self, variable: keras.Variable) -> tf.Tensor | None:
        if id(variable) in self._rows:
            raise RuntimeError(
                f"Table {variable.path!r} was only looked up by row when the step was first "
                "traced, and is now read whole. Make the model do the same in every trace."
            )
        return super().get_current_value(variable)

    @override
    def take(self, variable: keras.Variable, indices: Any) -> tf.Tensor | None:
        pulled = self._rows.get(id(variable))
        if pulled is None:
            return None
        inverse = next(self._unanswered[id(variable)])
        return tf.cast(tf.gather(pulled.values, inverse), variable.dtype)


def compute(
    computation: Callable[[Any], Any],
    batch: Any,
    *,
    whole: Sequence[tuple[keras.Variable, tf.Tensor]],
    rows: Sequence[tuple[keras.Variable, Rows]],
    local: Sequence[tuple[keras.Variable, tf.Tensor]],
    differentiate: bool,
) -> Computed:
    """Run `computation` on `batch` with the pulled values, and differentiate its output.

    Args:
        computation: takes the batch; returns the loss, a scalar, if `differentiate`.
        batch: whatever structure of tensors the dataset gave.
        whole: variables with the whole value that was pulled.
        rows: tables with the rows that were pulled.
        local: variables whose value is the worker's own: metric state, seeds.
        differentiate: whether to give gradients by the trainable ones of `whole` and `rows`.

    Returns:
        The output, the gradients and the variables' values after the computation.
    """
    trainable = [value for variable, value in whole if differentiate and variable.trainable]
    trainable_rows = [p.values for table, p in rows if differentiate and table.trainable]
    sources = [*trainable, *trainable_rows]
    by_id = {id(table): pulled for table, pulled in rows}
    with (
        Pulled([*whole, *local], by_id) as scope,
        tf.GradientTape(watch_accessed_variables=False) as tape,
    ):
        tape.watch(sources)
        output = computation(batch)
    gradients = tape.gradient(output, sources) if sources else []
    dense = [None if g is None else tf.convert_to_tensor(g) for g in gradients]
    return Computed(
        output=output,
        whole_gradients=dense[: len(trainable)],
        row_gradients=[
            tf.zeros_like(values) if gradient is None else gradient
            for values, gradient in zip(trainable_rows, dense[len(trainable) :], strict=True)
        ],
        values=scope.state_mapping,
    )
