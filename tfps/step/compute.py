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
        gradients: of the output by each trainable variable that it depends on, by `id`: by the
            whole value, or, of a table, by the pulled rows.
        values: the value of each variable after the computation, by `id`.
    """

    output: Any
    gradients: Mapping[int, tf.Tensor]
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
    trainable: Sequence[keras.Variable],
) -> Computed:
    """Run `computation` on `batch` with the pulled values, and differentiate its output.

    Args:
        computation: takes the batch; returns the loss, a scalar, if anything is `trainable`.
        batch: whatever structure of tensors the dataset gave.
        whole: variables with the whole value that was pulled.
        rows: tables with the rows that were pulled.
        local: variables whose value is the worker's own: metric state, seeds.
        trainable: variables to differentiate by; those that were not pulled have no gradient.

    Returns:
        The output, the gradients and the variables' values after the computation.
    """
    tables = {id(table): pulled for table, pulled in rows}
    pulled = {id(variable): value for variable, value in whole}
    pulled |= {key: table.values for key, table in tables.items()}
    sources = {id(v): pulled[id(v)] for v in trainable if id(v) in pulled}
    with (
        Pulled([*whole, *local], tables) as scope,
        tf.GradientTape(watch_accessed_variables=False) as tape,
    ):
        tape.watch(list(sources.values()))
        output = computation(batch)
    gradients = tape.gradient(output, sources) if sources else {}
    return Computed(
        output=output,
        gradients={key: tf.convert_to_tensor(g) for key, g in gradients.items() if g is not None},
        values=scope.state_mapping,
    )
