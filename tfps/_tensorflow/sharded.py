"""TensorFlow's variable over several shards, which reads and writes like a whole one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.distribute.sharded_variable import ShardedVariableSpec
from typing_extensions import override

VALUE = "VARIABLE_VALUE"  # TensorFlow's name for the value in a checkpoint


class ShardedVariable(tf.__internal__.distribute.ShardedVariable):
    """A variable over several shards that reads, and is written, as a whole one.

    TensorFlow's own class gives the rows of a gather in the order of the shards, iterates over the
    shards, cuts off what is too long for an assignment, and cannot be indexed by tensors, read by
    NumPy (and so saved by Keras) or differentiated by.

    Attributes:
        updated_on: the index of the ps that makes all updates of it, on the whole value; None if
            each shard is updated by the ps that holds it.
    """

    updated_on: int | None = None

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> tf.Tensor:
        if dtype is not None and not tf.as_dtype(dtype).is_compatible_with(self.dtype):
            raise ValueError(
                f"Variable {self.name!r} has dtype {self.dtype.name}, and {dtype.name} is asked "
                "for. Use tf.cast."
            )
        return tf.concat([part.read_value() for part in self.variables], axis=0)

    def read_value(self) -> tf.Tensor:
        """Return the whole value."""
        return tf.convert_to_tensor(self)

    def value(self) -> tf.Tensor:
        """Return the whole value."""
        return tf.convert_to_tensor(self)

    def numpy(self) -> np.ndarray:
        """Return the whole value.

        Raises:
            NotImplementedError: within a tf.function; TensorFlow then takes tensors instead.
        """
        if not tf.executing_eagerly():
            raise NotImplementedError(f"Variable {self.name!r}: no values in a tf.function.")
        return np.asarray(self.read_value())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.numpy(), dtype=dtype)

    @property
    def trainable(self) -> bool:
        """Whether tapes watch it."""
        return bool(self.variables[0].trainable)

    @property
    def constraint(self) -> Any:
        """The constraint that its optimizer is to apply, or None."""
        return self.variables[0].constraint

    @property
    def device(self) -> str:
        """The device of the first shard."""
        return str(self.variables[0].device)

    @property
    def handle(self) -> ShardedVariable:
        """What a tape takes in place of the variable; see `__composite_gradient__`."""
        return self

    @property
    def __composite_gradient__(self) -> _Gradient:
        return _Gradient()

    def __getitem__(self, index: Any) -> tf.Tensor:
        """Return what a tensor returns; of rows that Python numbers select, read only these."""
        first, *others = index if isinstance(index, list | tuple) and index else [index]
        num_rows = int(self.shape[0])
        if _is_slice_of_numbers(first):
            selected: slice = first
            rows = range(num_rows)[selected]
            if len(rows) < num_rows:
                return self.sparse_read(np.arange(rows.start, rows.stop, rows.step))[:, *others]
        elif _is_number(first) and -num_rows <= first < num_rows:
            return self.sparse_read([first % num_rows])[0, *others]
        return tf.convert_to_tensor(self)[index]

    def __iter__(self) -> Iterator[tf.Tensor]:
        return iter(tf.convert_to_tensor(self))

    def sparse_read(self, indices: Any, name: str | None = None) -> tf.Tensor:
        """Return the rows of these indices, of shape `indices.shape + shape[1:]`."""
        parts = self.variables
        if len(parts) == 1:
            return parts[0].sparse_read(indices, name=name)
        indices = tf.convert_to_tensor(indices)
        flat = tf.reshape(indices, [-1])
        starts = tf.constant([0, *itertools.accumulate(_sizes(parts)[:-1])], flat.dtype)
        # An index below 0, or beyond the end, is refused where its shard is read.
        owner = tf.maximum(tf.searchsorted(starts, flat, side="right") - 1, 0)
        in_shard = tf.dynamic_partition(flat - tf.gather(starts, owner), owner, len(parts))
        positions = tf.dynamic_partition(tf.range(tf.size(flat)), owner, len(parts))
        rows = [part.sparse_read(ids) for part, ids in zip(parts, in_shard, strict=True)]
        stitched = tf.dynamic_stitch(positions, rows)
        row_shape = self.shape[1:]
        result = tf.reshape(stitched, tf.concat([tf.shape(indices), row_shape], axis=0), name=name)
        result.set_shape(indices.shape.concatenate(row_shape))
        return result

    def assign(
        self, value: Any, use_locking: Any = None, name: Any = None, read_value: bool = True
    ) -> Any:
        """Replace the value."""
        return self._write("assign", value)

    def assign_add(
        self, delta: Any, use_locking: Any = None, name: Any = None, read_value: bool = True
    ) -> Any:
        """Add to the value."""
        return self._write("assign_add", delta)

    def assign_sub(
        self, delta: Any, use_locking: Any = None, name: Any = None, read_value: bool = True
    ) -> Any:
        """Subtract from the value."""
        return self._write("assign_sub", delta)

    def _write(self, method: str, value: Any) -> ShardedVariable:
        value = tf.convert_to_tensor(value, self.dtype)
        if not self.shape.is_compatible_with(value.shape):
            raise ValueError(
                f"Cannot assign value to variable {self.name!r}: the variable has shape "
                f"{self.shape}, and the value has shape {value.shape}."
            )
        if not value.shape.is_fully_defined():
            value = tf.ensure_shape(value, self.shape)
        parts = self.variables
        for part, piece in zip(parts, tf.split(value, _sizes(parts)), strict=True):
            getattr(part, method)(piece, read_value=False)
        return self

    def _decompose_indexed_slices(self, indexed_slices: tf.IndexedSlices) -> Any:
        """Return the rows for each shard; indices and values can be lists."""
        values = tf.convert_to_tensor(indexed_slices.values, self.dtype)
        indices = tf.convert_to_tensor(indexed_slices.indices)
        return super()._decompose_indexed_slices(tf.IndexedSlices(values, indices))

    @property
    @override
    def _type_spec(self) -> ShardedVariableSpec:
        specs = super()._type_spec._serialize()
        return _Spec(*specs)

    def _serialize_to_tensors(self) -> dict[str, tf.Tensor]:
        """Give tf.train.Checkpoint the whole value, so that it restores into any shards.

        The value passes through the chief's memory, as it does for every file that Keras writes.
        """
        return {VALUE: tf.convert_to_tensor(self)}

    def _restore_from_tensors(self, restored: dict[str, tf.Tensor]) -> Any:
        return self.assign(restored[VALUE])


class _Spec(ShardedVariableSpec):
    """The type of a ShardedVariable that is passed to a tf.function, or returned by one."""

    __slots__ = ()
    value_type = property(lambda self: ShardedVariable)

    def _from_components(self, components: Sequence[Any]) -> ShardedVariable | tf.Tensor:
        if all(isinstance(part, tf.Variable) for part in components):
            return ShardedVariable(list(components))
        return tf.concat(components, axis=0)  # what tf.identity, or a function, made of the shards


class _Gradient:
    """How a tape differentiates by a variable: by each shard; the gradient is that by the whole."""

    def get_gradient_components(self, variable: ShardedVariable) -> list[tf.Tensor]:
        return [part.handle for part in variable.variables]

    def replace_gradient_components(
        self, variable: ShardedVariable, gradients: Sequence[Any]
    ) -> tf.Tensor | None:
        if all(gradient is None for gradient in gradients):
            return None
        return tf.concat(
            [
                tf.zeros_like(part) if gradient is None else tf.convert_to_tensor(gradient)
                for part, gradient in zip(variable.variables, gradients, strict=True)
            ],
            axis=0,
        )


def _overload(name: str) -> None:
    operator = getattr(tf.Tensor, name)

    def overloaded(variable: ShardedVariable, *others: Any) -> Any:
        return operator(tf.convert_to_tensor(variable), *others)

    setattr(ShardedVariable, name, overloaded)


# TensorFlow's own refuse to read the value where a name scope contains "embedding_lookup".
for _name in tf.Tensor.OVERLOADABLE_OPERATORS - {"__getitem__"}:
    _overload(_name)


@tf.experimental.dispatch_for_api(  # type: ignore[untyped-decorator]
    tf.nn.embedding_lookup, {"params": ShardedVariable}
)
def _embedding_lookup(
    params: ShardedVariable, ids: Any, max_norm: Any = None, name: str | None = None
) -> tf.Tensor:
    """Look rows up on the ps that hold them. TensorFlow's own would read the whole value."""
    return tf.nn.embedding_lookup(params.variables, ids, max_norm=max_norm, name=name)


def _sizes(parts: Sequence[tf.Variable]) -> list[int]:
    return [int(part.shape[0]) for part in parts]


def _is_number(index: Any) -> bool:
    return isinstance(index, int | np.integer) and not isinstance(index, bool)


def _is_slice_of_numbers(index: Any) -> bool:
    return isinstance(index, slice) and all(
        bound is None or _is_number(bound) for bound in (index.start, index.stop, index.step)
    )
