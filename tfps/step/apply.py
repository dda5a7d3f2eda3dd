"""Apply: a ps updates its own parameters with the gradients that were pushed to it.

The Keras optimizer's own `update_step` runs on the ps. It sees, in place of the variable and of
each of its slot variables, a view of the shard (or of the rows) that lies there; its `assign`,
`assign_add` and `assign_sub` become TensorFlow's native ops, each of them atomic, so that workers
which push at the same time lose nothing.
"""

from __future__ import annotations

import abc
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from typing_extensions import override

from tfps import _keras
from tfps.params.placement import ps_device
from tfps.params.shards import Shard, native, shards

_BY_WHOLE_VARIABLE = (keras.optimizers.Lamb, keras.optimizers.Muon)


class View(abc.ABC):
    """What an optimizer sees of a variable: a tensor to read, and three ways to write.

    Attributes:
        shard: the shard that is seen.
        name: the name of the whole variable; weight decay is excluded by name.
    """

    def __init__(self, variable: keras.Variable, shard: Shard) -> None:
        self.shard = shard
        self.name = variable.name
        self._unique_id = native(variable)._unique_id  # how an optimizer tells variables apart

    @property
    def dtype(self) -> tf.DType:
        """The dtype of the variable."""
        return self.shard.variable.dtype

    @property
    def shape(self) -> tf.TensorShape:
        """The shape of what is seen."""
        return self.read().shape

    @abc.abstractmethod
    def is_whole(self, variable: keras.Variable) -> bool:
        """Whether all of `variable` is seen."""

    @abc.abstractmethod
    def read(self) -> tf.Tensor:
        """Return the current value."""

    @abc.abstractmethod
    def assign(self, value: tf.Tensor) -> None:
        """Replace the value."""

    @abc.abstractmethod
    def assign_add(self, delta: tf.Tensor) -> None:
        """Add to the value."""

    @abc.abstractmethod
    def assign_sub(self, delta: tf.Tensor) -> None:
        """Subtract from the value."""

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> tf.Tensor:
        return tf.convert_to_tensor(self.read(), dtype=dtype, name=name)

    def __mul__(self, other: Any) -> tf.Tensor:
        return self.read() * other

    def __add__(self, other: Any) -> tf.Tensor:
        return self.read() + other

    def __sub__(self, other: Any) -> tf.Tensor:
        return self.read() - other


class ShardView(View):
    """A whole shard."""

    @override
    def is_whole(self, variable: keras.Variable) -> bool:
        return self.shard.shape == tuple(variable.shape)

    @override
    def read(self) -> tf.Tensor:
        return self.shard.variable.read_value()

    @override
    def assign(self, value: tf.Tensor) -> None:
        self.shard.variable.assign(value, read_value=False)

    @override
    def assign_add(self, delta: tf.Tensor) -> None:
        self.shard.variable.assign_add(delta, read_value=False)

    @override
    def assign_sub(self, delta: tf.Tensor) -> None:
        self.shard.variable.assign_sub(delta, read_value=False)


class RowView(View):
    """Some rows of a shard: what is not among them is neither read nor updated (a lazy update)."""

    def __init__(self, variable: keras.Variable, shard: Shard, ids: tf.Tensor) -> None:
        """View the rows `ids`, unique int32, counted from the shard's first, on its ps."""
        super().__init__(variable, shard)
        self._ids = ids

    @override
    def is_whole(self, variable: keras.Variable) -> bool:
        return False

    @override
    def read(self) -> tf.Tensor:
        return self.shard.variable.sparse_read(self._ids)

    @override
    def assign(self, value: tf.Tensor) -> None:
        self.shard.variable.scatter_update(self._slices(value))

    @override
    def assign_add(self, delta: tf.Tensor) -> None:
        self.shard.variable.scatter_add(self._slices(delta))

    @override
    def assign_sub(self, delta: tf.Tensor) -> None:
        self.shard.variable.scatter_sub(self._slices(delta))

    def _slices(self, value: tf.Tensor) -> tf.IndexedSlices:
        return tf.IndexedSlices(tf.broadcast_to(value, tf.shape(self.read())), self._ids)


class Optimizer:
    """A Keras optimizer taken apart: what runs on the worker, and what runs on the ps."""

    def __init__(self, optimizer: keras.optimizers.Optimizer) -> None:
        self._keras = optimizer
        self._rate = _keras.learning_rate_variable(optimizer)
        _refuse_what_is_not_per_parameter(optimizer, self.counters)

    @property
    def global_step(self) -> keras.Variable:
        """The number of updates so far: int64, scalar, one native atomic counter on a ps."""
        return self._keras.iterations

    @property
    def counters(self) -> list[keras.Variable]:
        """The scalars that a worker pulls with the parameters: global step and learning rate."""
        return [self.global_step] + ([] if self._rate is None else [self._rate])

    def scale_loss(self, loss: tf.Tensor) -> tf.Tensor:
        """Return the loss to differentiate, scaled as the optimizer wants it."""
        return self._keras.scale_loss(loss)

    def prepare(
        self, gradients: Sequence[tuple[keras.Variable, tf.Tensor | None]]
    ) -> dict[int, tf.Tensor]:
        """Unscale and clip gradients, on the worker, before they are pushed.

        A gradient by pulled rows has the norm of the gradient by the whole table, so clipping by
        norm or global norm means the same for both.

        Args:
            gradients: one for each trainable variable; None where the loss does not depend on it.

        Returns:
            The gradients to push, by `id` of the variable.

        Raises:
            ValueError: if the loss depends on none of the variables.
        """
        if not gradients:
            warnings.warn("The model does not have any trainable weights.", stacklevel=2)
            return {}
        variables, found = _keras.with_gradients(self._keras, gradients)
        scale = self._keras.loss_scale_factor
        if scale is not None:
            found = [gradient / scale for gradient in found]
        clipped = _keras.clip_gradients(self._keras, found)
        return {id(v): gradient for v, gradient in zip(variables, clipped, strict=True)}

    def update(
        self, variable: keras.Variable, view: View, gradient: tf.Tensor,
        counters: Mapping[int, tf.Tensor],
    ) -> None:  # fmt: skip
        """Update what `view` shows of `variable`, on its ps.

        Args:
            variable: a trainable variable of the model.
            view: the shard, or the rows of it, that `gradient` is for.
            gradient: of the shape of what the view shows.
            counters: the values of `self.counters`, by `id` of the variable.
        """
        if isinstance(self._keras, _BY_WHOLE_VARIABLE) and not view.is_whole(variable):
            raise NotImplementedError(
                f"{type(self._keras).__name__} takes norms of a whole variable, and a ps only sees "
                f"a part of {variable.path!r}. Use a partitioner that does not split it, or "
                "another optimizer; embeddings that are looked up by row need another one."
            )
        with tf.device(ps_device(view.shard.ps)), _ShardScope(variable, view, counters):
            rate = tf.cast(self._keras.learning_rate, view.dtype)
            if _keras.decays(self._keras, view):
                view.assign_sub(view.read() * tf.cast(self._keras.weight_decay, view.dtype) * rate)
            self._keras.update_step(gradient, view, rate)

    def count(self) -> None:
        """Count one update in the global step."""
        native(self.global_step).assign_add(1, read_value=False)


class _CounterScope(keras.StatelessScope):
    """Gives the optimizer the counters that the worker pulled."""

    def __init__(self, counters: Mapping[int, tf.Tensor]) -> None:
        super().__init__(initialize_variables=False)
        self._counters = counters

    def get_current_value(self, variable: keras.Variable) -> Any:
        return self._counters.get(id(variable))


class _ShardScope(_CounterScope):
    """Gives the optimizer, for each slot variable, the view of the same shard and rows."""

    def __init__(
        self, variable: keras.Variable, view: View, counters: Mapping[int, tf.Tensor]
    ) -> None:
        super().__init__(counters)
        self._view = view
        firsts = [shard.first_row for shard in shards(variable)]
        self._position = firsts.index(view.shard.first_row)

    def get_current_value(self, variable: keras.Variable) -> Any:
        counter = super().get_current_value(variable)
        if counter is not None:
            return counter
        slot = shards(variable)[self._position]
        if isinstance(self._view, RowView):
            return RowView(variable, slot, self._view._ids)
        return ShardView(variable, slot)


def _refuse_what_is_not_per_parameter(
    optimizer: keras.optimizers.Optimizer, counters: list[keras.Variable]
) -> None:
    """Raise where an update is more than `update_step` on each parameter by itself."""
    for option in ("use_ema", "gradient_accumulation_steps"):
        if getattr(optimizer, option):
            raise NotImplementedError(
                f"Optimizer {optimizer.name!r}: {option}={getattr(optimizer, option)!r} is not "
                f"supported under a tfps.ParameterServerStrategy. Leave {option} at its default."
            )
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        raise NotImplementedError(
            f"Optimizer {optimizer.name!r}: loss scaling, which the policy 'mixed_float16' brings, "
            "is not supported under a tfps.ParameterServerStrategy. Use 'mixed_bfloat16'."
        )
    optimized = _keras.optimized_variables(optimizer)
    shapes = {tuple(variable.shape) for variable in optimized}
    known = set(map(id, counters))
    for variable in optimizer.variables:
        if id(variable) not in known and tuple(variable.shape) not in shapes:
            raise NotImplementedError(
                f"Optimizer {optimizer.name!r} keeps {variable.path!r} of shape "
                f"{tuple(variable.shape)}, which is no slot variable of a parameter, so no ps "
                "could update it by itself. Use SGD, Adam, AdamW, Adagrad, RMSprop, Adadelta, "
                "Adamax, Ftrl or Lion."
            )
    for variable in optimized:
        if getattr(variable, "constraint", None) is not None:
            raise NotImplementedError(
                f"Variable {variable.path!r} has a constraint, {variable.constraint!r}, which is "
                "not supported under a tfps.ParameterServerStrategy. Build the layer without it."
            )
