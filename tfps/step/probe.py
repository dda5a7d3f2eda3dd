"""The scope in which a computation is traced to learn what it does with variables."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from typing_extensions import override

from tfps import _keras
from tfps._keras import StepScope
from tfps._tensorflow import in_current_graph, watched
from tfps.params.variable_map import Values, VariableMap, VariableSet
from tfps.step.dataflow import is_inside, is_linear, is_plus, loops_around


@dataclasses.dataclass(frozen=True, kw_only=True)
class ApplyCall:
    """A call of an optimizer's `apply`, as it stands in a computation.

    Attributes:
        optimizer: the optimizer.
        variables: the variables that it updates.
        is_inline: whether its push cannot wait for the end of the computation: the call is in a
            branch or a loop, or what it changes is used afterwards.
        is_certain: whether it is outside of branches and loops, so that it runs once.
        is_repeated: whether it is in a loop.
        used: the variables that it changes and the computation uses afterwards.
        written: the variables that it changes and the computation has assigned to.
    """

    optimizer: keras.optimizers.Optimizer
    variables: Sequence[keras.Variable]
    is_inline: bool
    is_certain: bool
    is_repeated: bool
    used: VariableSet
    written: VariableSet


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Use:
    """A use of a variable.

    Attributes:
        variable: the variable.
        graph: the graph in which it is used: the computation's, or that of a branch or a loop.
        value: what is assigned to the variable; None if it is read.
        before: what the variable held before that, in the same graph; None if that is not known.
    """

    variable: keras.Variable
    graph: Any
    value: tf.Tensor | None = None
    before: tf.Tensor | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Apply:
    """A call of `apply`: its arguments, its graph, and the number of uses before it."""

    optimizer: keras.optimizers.Optimizer
    variables: Sequence[keras.Variable]
    graph: Any
    uses: int


class Probe(StepScope):
    """Gives placeholders for the variables' values, and records which are used how.

    Attributes:
        placeholders: for each variable that is used, what it holds when the computation begins.
        read: the variables whose whole value is read.
        written: the variables that are assigned to.
        lookups: for each variable of which rows are looked up, the ids of the lookups.
    """

    def __init__(self, graph: tf.Graph) -> None:
        """Take the graph in which the computation is traced."""
        super().__init__()
        self.placeholders: Values = VariableMap()
        self.read = VariableSet()
        self.written = VariableSet()
        self.lookups: VariableMap[list[tf.Tensor]] = VariableMap()
        self._graph = graph
        self._uses: list[_Use] = []
        self._applied: list[_Apply] = []
        self._current: VariableMap[tuple[Any, tf.Tensor]] = VariableMap()
        self._in_graphs = VariableSet()

    @override
    def get_current_value(self, variable: keras.Variable) -> tf.Tensor:
        self._uses.append(_Use(variable=variable, graph=tf.compat.v1.get_default_graph()))
        # What was assigned last, if that was outside of branches and loops.
        value = None if variable in self._in_graphs else super().get_current_value(variable)
        if value is None:
            self.read.add(variable)
            value = self._watched(variable)
        graph = tf.compat.v1.get_default_graph()
        if graph is self._graph and variable not in self._in_graphs:
            return value
        # Each read is another tensor, so that a write shows what it was computed from.
        current = tf.identity(in_current_graph(value))
        self._current[variable] = graph, current
        return current

    @override
    def source(self, variable: keras.Variable) -> tf.Tensor:
        return in_current_graph(self._placeholder_of(variable))

    @override
    def apply(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: Sequence[Any],
        variables: Sequence[keras.Variable],
    ) -> None:
        # It reads the optimizer's counters.
        for counter in _keras.counters(optimizer):
            self._uses.append(_Use(variable=counter, graph=tf.compat.v1.get_default_graph()))
        self._applied.append(
            _Apply(
                optimizer=optimizer,
                variables=list(variables),
                graph=tf.compat.v1.get_default_graph(),
                uses=len(self._uses),
            )
        )

    @override
    def add_update(self, update: tuple[keras.Variable, tf.Tensor]) -> None:
        variable, value = update[0], tf.convert_to_tensor(update[1])  # it may be a variable, too
        graph = tf.compat.v1.get_default_graph()
        before = self._before(variable)
        self._uses.append(_Use(variable=variable, graph=graph, value=value, before=before))
        self.written.add(variable)
        if graph is not self._graph:
            self._in_graphs.add(variable)
        if variable in self._in_graphs:
            self._current.pop(variable, None)
        else:
            super().add_update((variable, value))

    @override
    def take(self, variable: keras.Variable, indices: Any) -> tf.Tensor | None:
        if not _is_dense_integer(indices):
            return None
        self._uses.append(_Use(variable=variable, graph=tf.compat.v1.get_default_graph()))
        indices = tf.convert_to_tensor(indices)
        self.lookups.setdefault(variable, []).append(indices)
        return tf.cast(tf.gather(self._watched(variable), indices), variable.dtype)

    def applied(self) -> list[ApplyCall]:
        """Return the calls of `apply`, in order."""
        calls: list[ApplyCall] = []
        changed_later = VariableSet()
        for apply in reversed(self._applied):
            changed = VariableSet([*apply.variables, *_keras.changed_by(apply.optimizer)])
            calls.insert(0, self._call(apply, changed, changed_later))
            if calls[0].is_inline:
                changed_later |= changed
        return calls

    def live(self, applied: Sequence[ApplyCall]) -> VariableSet:
        """Return the variables that must be variables while the computation runs."""
        inline = [call for call in applied if call.is_inline]
        used = [v for call in inline for v in [*call.used, *call.written]]
        return VariableSet([*self._in_graphs, *used])

    def is_sum(self, variable: keras.Variable) -> bool:
        """Whether the computation only adds to `variable`, and nothing that depends on it."""
        origin = self.placeholders[variable]
        return all(
            use.before is not None and is_plus(use.value, use.before, origin)
            for use in self._writes(variable)
        )

    def is_moved(self, variable: keras.Variable) -> bool:
        """Whether the computation adds to `variable`, or takes a moving average of it.

        A trained variable always counts as moved: others' updates are to stay.
        """
        origin = self.placeholders[variable]
        is_average = origin.dtype.is_floating and all(
            use.before is not None and is_linear(use.value, use.before, origin)
            for use in self._writes(variable)
        )
        is_trained = any(variable is v for apply in self._applied for v in apply.variables)
        return is_trained or is_average or self.is_sum(variable)

    def why_whole(self, variable: keras.Variable) -> str | None:
        """Return why a variable is read whole of which rows are looked up; None if none are."""
        if variable in self.lookups and variable not in self.read | self.written:
            return (
                "the ids of a lookup depend on more than the inputs, or on a loop or branch. "
                "Compute them from the inputs alone, and only the rows of a batch travel."
            )
        readers = _readers(self.placeholders[variable])
        others = [op for op in readers if op.type != "GatherV2"]
        if variable not in self.lookups and len(others) == len(readers):
            return None
        if others:
            return (
                f"{others[0].type} {others[0].name!r} reads all of it. If nothing but lookups read "
                "it (untied output weights, no regularizer), only the rows of a batch would travel."
            )
        return (
            "it is looked up by a function of TensorFlow, such as tf.gather. Use keras.ops.take("
            "table, ids, axis=0) or keras.layers.Embedding, and only the rows of a batch travel."
        )

    def metric_state(self) -> list[tf.Tensor]:
        """Return the placeholders of metric state."""
        return [p for v, p in self.placeholders.items() if v.synchronization == "on_read"]

    def _writes(self, variable: keras.Variable) -> list[Any]:
        return [u for u in self._uses if u.variable is variable and u.value is not None]

    def _call(self, apply: _Apply, changed: VariableSet, changed_later: VariableSet) -> ApplyCall:
        """Return what a call of `apply` means for what is used before and after it.

        Args:
            apply: the call.
            changed: the variables that it changes.
            changed_later: those that later calls change before the computation ends.
        """
        loops = loops_around(apply.graph)
        again = [u for u in self._uses if any(is_inside(u.graph, loop) for loop in loops)]
        before = [*self._uses[: apply.uses], *again]
        after = [*self._uses[apply.uses :], *again]
        used = VariableSet(use.variable for use in after if use.variable in changed)
        written = VariableSet(use.variable for use in before if use.value is not None)
        is_certain = apply.graph is self._graph
        return ApplyCall(
            optimizer=apply.optimizer,
            variables=apply.variables,
            is_inline=bool(used) or not is_certain or bool(changed & changed_later),
            is_certain=is_certain,
            is_repeated=bool(loops),
            used=used,
            written=VariableSet(v for v in written if v in changed),
        )

    def _before(self, variable: keras.Variable) -> tf.Tensor | None:
        """Return what a variable holds before an assignment, as a tensor of the current graph."""
        placeholder = self._placeholder_of(variable)
        graph = tf.compat.v1.get_default_graph()
        if graph is self._graph and variable not in self._in_graphs:
            tracked = super().get_current_value(variable)
            return placeholder if tracked is None else tracked
        read_in, current = self._current.get(variable, (None, None))
        return current if read_in is graph else None

    def _watched(self, variable: keras.Variable) -> tf.Tensor:
        placeholder = self._placeholder_of(variable)
        if variable.trainable:
            watched(placeholder)
        return placeholder

    def _placeholder_of(self, variable: keras.Variable) -> tf.Tensor:
        if variable not in self.placeholders:
            # The computation may be inside of a loop or a branch, with a graph of its own.
            with self._graph.as_default():
                placeholder = tf.compat.v1.placeholder(variable.dtype, tuple(variable.shape))
            self.placeholders[variable] = placeholder
        return self.placeholders[variable]


def _is_dense_integer(indices: Any) -> bool:
    if isinstance(indices, tf.RaggedTensor | tf.SparseTensor | keras.KerasTensor):
        return False
    return bool(tf.as_dtype(getattr(indices, "dtype", tf.float32)).is_integer)


def _readers(tensor: tf.Tensor) -> list[Any]:
    """Return the ops that read `tensor`, also through a cast or in another form."""
    readers = []
    for op in tensor.consumers():
        is_form = op.type in ("Cast", "Identity", "Reshape", "Transpose")
        readers += _readers(op.outputs[0]) if is_form else [op]
    return readers
