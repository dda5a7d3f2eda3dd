"""Views: stand-ins for variables, which an optimizer reads and writes as if they were variables."""

from __future__ import annotations

import abc
import operator
from typing import Any

import keras
import tensorflow as tf
from typing_extensions import override

from tfps import _keras
from tfps.params.placement import ps_device
from tfps.params.shards import Shard, shards, updated_on
from tfps.params.variable_map import Values, VariableMap


class View(_keras.StandIn, abc.ABC):
    """A stand-in for a variable, or for part of it: a value to read, and three ways to write it."""

    @property
    @abc.abstractmethod
    def dtype(self) -> tf.DType:
        """The dtype of the variable."""

    @property
    def shape(self) -> tf.TensorShape:
        """The shape of the value."""
        return self.read().shape

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


def _arithmetic(name: str, reflected: bool) -> Any:
    function = getattr(operator, name)

    def operation(self: View, other: Any) -> tf.Tensor:
        return function(other, self.read()) if reflected else function(self.read(), other)

    return operation


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"):
    setattr(View, f"__{_name}__", _arithmetic(_name, reflected=False))
    setattr(View, f"__r{_name}__", _arithmetic(_name, reflected=True))
for _name in ("lt", "le", "gt", "ge", "getitem"):
    setattr(View, f"__{_name}__", _arithmetic(_name, reflected=False))
for _name in ("neg", "abs"):
    setattr(View, f"__{_name}__", lambda view, name=_name: getattr(operator, name)(view.read()))


class PsView(View):
    """A view of a shard on its ps; each write is atomic.

    Attributes:
        shard: the shard.
    """

    def __init__(self, variable: keras.Variable, shard: Shard) -> None:
        super().__init__(variable)
        self.shard = shard

    @property
    @override
    def dtype(self) -> tf.DType:
        return self.shard.variable.dtype

    @property
    def device(self) -> str:
        """The device of the shard."""
        return ps_device(self.shard.ps)


class ShardView(PsView):
    """A view of a whole shard."""

    @override
    def read(self) -> tf.Tensor:
        with tf.device(self.device):
            return self.shard.variable.read_value()

    @override
    def assign(self, value: tf.Tensor) -> None:
        with tf.device(self.device):
            self.shard.variable.assign(value, read_value=False)

    @override
    def assign_add(self, delta: tf.Tensor) -> None:
        with tf.device(self.device):
            self.shard.variable.assign_add(delta, read_value=False)

    @override
    def assign_sub(self, delta: tf.Tensor) -> None:
        with tf.device(self.device):
            self.shard.variable.assign_sub(delta, read_value=False)


class WholeView(PsView):
    """A view of a whole variable on the ps that updates it, wherever its shards lie.

    A write is several ops on several ps. So it has to run under the lock of the ps that updates.
    """

    def __init__(self, variable: keras.Variable, ps: int) -> None:
        """View a variable, on the ps of an index."""
        super().__init__(variable, Shard(variable=_keras.native(variable), ps=ps, first_row=0))
        self._shards = [ShardView(variable, shard) for shard in shards(variable)]

    @property
    @override
    def shape(self) -> tf.TensorShape:
        return tf.TensorShape(self.shard.shape)

    @override
    def read(self) -> tf.Tensor:
        values = [shard.read() for shard in self._shards]
        with tf.device(self.device):
            return tf.concat(values, axis=0) if len(values) > 1 else tf.identity(values[0])

    @override
    def assign(self, value: tf.Tensor) -> None:
        for shard, piece in self._split(value):
            shard.assign(piece)

    @override
    def assign_add(self, delta: tf.Tensor) -> None:
        for shard, piece in self._split(delta):
            shard.assign_add(piece)

    @override
    def assign_sub(self, delta: tf.Tensor) -> None:
        for shard, piece in self._split(delta):
            shard.assign_sub(piece)

    def _split(self, value: tf.Tensor) -> list[tuple[ShardView, tf.Tensor]]:
        with tf.device(self.device):
            value = tf.broadcast_to(tf.cast(value, self.dtype), self.shape)
            if len(self._shards) == 1:
                return [(self._shards[0], value)]
            pieces = tf.split(value, [view.shard.shape[0] for view in self._shards])
            return list(zip(self._shards, pieces, strict=True))


class RowView(PsView):
    """A view of some rows of a shard. Other rows are neither read nor updated (a lazy update)."""

    def __init__(self, variable: keras.Variable, shard: Shard, ids: tf.Tensor) -> None:
        """View rows of a shard; `ids` are their indices in it, unique int32, on its ps."""
        super().__init__(variable, shard)
        self.ids = ids

    @override
    def read(self) -> tf.Tensor:
        return self.shard.variable.sparse_read(self.ids)

    # Not ResourceScatterAdd and the like: these only hold a reader's lock on the variable, so that
    # updates of the same row by two workers would be lost.
    @override
    def assign(self, value: tf.Tensor) -> None:
        self.shard.variable.scatter_nd_update(self.ids[:, None], self._of_rows(value))

    @override
    def assign_add(self, delta: tf.Tensor) -> None:
        self.shard.variable.scatter_nd_add(self.ids[:, None], self._of_rows(delta))

    @override
    def assign_sub(self, delta: tf.Tensor) -> None:
        self.shard.variable.scatter_nd_sub(self.ids[:, None], self._of_rows(delta))

    def _of_rows(self, value: tf.Tensor) -> tf.Tensor:
        rows = tf.concat([tf.shape(self.ids), self.shard.shape[1:]], axis=0)
        return tf.broadcast_to(value, rows)


class WorkerView(View):
    """A view of a worker's own value; a write replaces the tensor that `read` returns."""

    def __init__(self, variable: keras.Variable, value: tf.Tensor) -> None:
        super().__init__(variable)
        self._tensor = value

    @property
    @override
    def dtype(self) -> tf.DType:
        return self._tensor.dtype

    @override
    def read(self) -> tf.Tensor:
        return self._tensor

    @override
    def assign(self, value: tf.Tensor) -> None:
        self._tensor = tf.broadcast_to(tf.cast(value, self.dtype), tf.shape(self._tensor))

    @override
    def assign_add(self, delta: tf.Tensor) -> None:
        self._tensor += tf.cast(delta, self.dtype)

    @override
    def assign_sub(self, delta: tf.Tensor) -> None:
        self._tensor -= tf.cast(delta, self.dtype)


class WorkerScope(keras.StatelessScope):
    """A scope in which all of an optimizer's variables have a worker's own values."""

    def __init__(self, counters: Values, views: VariableMap[WorkerView]) -> None:
        """Take the values of the counters, and views of the other variables."""
        super().__init__(initialize_variables=False)
        self._known: VariableMap[tf.Tensor | View] = VariableMap(views)
        self._known.update(counters)

    @override
    def get_current_value(self, variable: keras.Variable) -> tf.Tensor | View:
        return self._known[variable]


class ViewScope(keras.StatelessScope):
    """A scope in which an optimizer's counters have pulled values, and its other variables views.

    The view of a slot variable shows the same shard, or the same rows, as the view of the variable
    that is being updated. It shows all of a slot variable that lies otherwise.
    """

    def __init__(
        self,
        counters: Values,
        variable: keras.Variable | None = None,
        view: PsView | None = None,
    ) -> None:
        super().__init__(initialize_variables=False)
        self._counters = counters
        self._variable = variable
        self._view = view

    def rate(self, optimizer: keras.optimizers.Optimizer) -> tf.Tensor:
        """Return the learning rate of this step."""
        return tf.convert_to_tensor(optimizer.learning_rate)

    @override
    def get_current_value(self, variable: keras.Variable) -> tf.Tensor | View:
        counter = self._counters.get(variable)
        if counter is not None:
            return counter
        if self._variable is None or self._view is None:
            return view_of(variable)
        view, split = self._view.shard, shards(self._variable)
        places = [(shard.ps, shard.first_row) for shard in split]
        slots = shards(variable)
        if isinstance(self._view, WholeView) or places != [(s.ps, s.first_row) for s in slots]:
            return WholeView(variable, view.ps)
        slot = slots[places.index((view.ps, view.first_row))]
        if isinstance(self._view, RowView) and tuple(variable.shape) == tuple(self._variable.shape):
            return RowView(variable, slot, self._view.ids)
        return ShardView(variable, slot)


def view_of_part(variable: keras.Variable, part: Shard) -> PsView:
    """Return the view of a part of a variable, one of its `updated_parts`."""
    whole = updated_on(variable) is not None
    return WholeView(variable, part.ps) if whole else ShardView(variable, part)


def view_of(variable: keras.Variable) -> ShardView:
    """Return the view of a variable that has one shard."""
    (shard,) = shards(variable)
    return ShardView(variable, shard)
