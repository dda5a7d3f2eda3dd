"""Discover: trace a computation once to learn which parameters it needs.

The trace goes into a graph of its own that is never run. From it tfps knows, before the first
step, which parameters are needed whole and which are only looked up by row. If the ids of a lookup
depend on the batch alone, its rows can be pulled before the computation starts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from typing_extensions import override

from tfps._keras import StepScope
from tfps._tensorflow import FuncGraph, watch
from tfps.params.variable_map import Values, VariableMap, VariableSet

# They read a table on the worker, which does not change during a step.
_PURE_LOOKUPS = frozenset({"LookupTableFind", "LookupTableFindV2", "LookupTableSizeV2"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Demand:
    """What a computation reads and writes.

    Attributes:
        whole: the variables whose whole value it reads, or that it writes. These and the following
            variables are in the order in which the computation first uses them.
        tables: the variables of which it only looks up rows.
        written: the variables that it assigns to.
        moved: those of them that it moves: by adding to them, or by a moving average. What several
            workers moved adds up; what they assign else does not.
        applied: its optimizers, each with the variables that it updates.
        sums: the variables to which it only adds, and nothing that depends on the variable itself.
        lookup_tables: its lookup tables: for the `ref()` of the handle, an eager tensor, the dtypes
            of keys and values.
        outputs: what it returned, as symbolic tensors of a graph that is never run.
        metric_results: the keys of those of them, in a dictionary, that follow from metric state.
        row_ids: a function from a batch to the ids of the lookups: for each of `tables` a list of
            int tensors of any shape, in the order of the lookups.
    """

    whole: tuple[keras.Variable, ...]
    tables: tuple[keras.Variable, ...]
    written: tuple[keras.Variable, ...]
    moved: tuple[keras.Variable, ...]
    applied: tuple[tuple[keras.optimizers.Optimizer, list[keras.Variable]], ...]
    sums: tuple[keras.Variable, ...]
    lookup_tables: dict[Any, tuple[tf.DType, tf.DType]]
    outputs: Any
    metric_results: frozenset[str]
    row_ids: Callable[[Any], list[list[tf.Tensor]]]


def discover(computation: Callable[[Any], Any], batch_spec: Any) -> Demand:
    """Trace `computation` on a batch of `batch_spec`, and return what it reads and writes."""
    graph = FuncGraph("tfps_discover")
    with graph.as_default():
        placeholders = [_placeholder(spec) for spec in tf.nest.flatten(batch_spec, True)]
        batch = tf.nest.pack_sequence_as(batch_spec, placeholders, expand_composites=True)
        with _Probe(graph) as probe:
            outputs = computation(batch)
    unknown = {value.op for value in probe.placeholders.values()}
    by_row = VariableMap(
        (table, ids)
        for table, ids in probe.lookups.items()
        if table not in probe.read and all(_follows_from_batch(i, graph, unknown) for i in ids)
    )
    whole = VariableSet(v for v in probe.placeholders if v in probe.read or v in probe.written)
    whole |= VariableSet(table for table in probe.lookups if table not in by_row)
    return Demand(
        whole=tuple(whole),
        tables=tuple(by_row),
        written=tuple(v for v in probe.placeholders if v in probe.written),
        moved=tuple(v for v in probe.placeholders if v in probe.written and probe.is_moved(v)),
        applied=tuple(probe.applied),
        sums=tuple(v for v in probe.placeholders if probe.is_sum(v)),
        lookup_tables=_lookup_tables(graph),
        outputs=outputs,
        metric_results=frozenset(_from_any(outputs, probe.metric_state())),
        row_ids=_RowIds(graph, placeholders, list(by_row.values())),
    )


def check_sums(demand: Demand, metric_variables: Sequence[keras.Variable]) -> None:
    """Raise NotImplementedError if metric state cannot be summed over workers."""
    for variable in metric_variables:
        if not any(variable is known for known in demand.sums):
            raise NotImplementedError(
                f"Metric state {variable.path!r} is updated by more than adding to it, so what "
                "several workers found could not be merged. Let its update_state add to variables "
                "(assign_add), and its result() compute the metric from these sums."
            )


class _Probe(StepScope):
    """Gives placeholders for the variables' values, and records which are used how."""

    def __init__(self, graph: tf.Graph) -> None:
        super().__init__()
        self.applied: list[tuple[keras.optimizers.Optimizer, list[keras.Variable]]] = []
        self._graph = graph
        self.placeholders: Values = VariableMap()
        self.read = VariableSet()
        self.written = VariableSet()
        self.lookups: VariableMap[list[tf.Tensor]] = VariableMap()

    @override
    def get_current_value(self, variable: keras.Variable) -> tf.Tensor:
        value = super().get_current_value(variable)
        if value is None:
            self.read.add(variable)
            value = self._watched(variable)
        return value

    @override
    def source(self, variable: keras.Variable) -> tf.Tensor:
        return self._placeholder_of(variable)

    @override
    def apply(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: Sequence[Any],
        variables: Sequence[keras.Variable],
    ) -> None:
        self.applied.append((optimizer, list(variables)))

    @override
    def add_update(self, update: tuple[keras.Variable, tf.Tensor]) -> None:
        self._placeholder_of(update[0])
        self.written.add(update[0])
        super().add_update(update)

    @override
    def take(self, variable: keras.Variable, indices: Any) -> tf.Tensor | None:
        if not _is_dense_integer(indices):
            return None
        indices = tf.convert_to_tensor(indices)
        self.lookups.setdefault(variable, []).append(indices)
        return tf.cast(tf.gather(self._watched(variable), indices), variable.dtype)

    def is_sum(self, variable: keras.Variable) -> bool:
        """Whether the computation only adds to `variable`, and nothing that depends on it."""
        final = super().get_current_value(variable)
        placeholder = self.placeholders[variable]
        return final is None or _is_plus(final, placeholder)

    def is_moved(self, variable: keras.Variable) -> bool:
        """Whether the computation adds to `variable`, or takes a moving average of it.

        A trained variable always counts as moved: others' updates are to stay.
        """
        final = super().get_current_value(variable)
        placeholder = self.placeholders[variable]
        is_trained = any(variable is v for _, variables in self.applied for v in variables)
        is_average = placeholder.dtype.is_floating and _is_linear(final, placeholder)
        return is_trained or is_average or self.is_sum(variable)

    def metric_state(self) -> list[tf.Tensor]:
        """Return the placeholders of metric state."""
        return [p for v, p in self.placeholders.items() if v.synchronization == "on_read"]

    def _watched(self, variable: keras.Variable) -> tf.Tensor:
        placeholder = self._placeholder_of(variable)
        if variable.trainable:
            watch(placeholder)
        return placeholder

    def _placeholder_of(self, variable: keras.Variable) -> tf.Tensor:
        if variable not in self.placeholders:
            # The computation may be inside of a loop or a branch, with a graph of its own.
            with self._graph.as_default():
                placeholder = tf.compat.v1.placeholder(variable.dtype, tuple(variable.shape))
            self.placeholders[variable] = placeholder
        return self.placeholders[variable]


def _lookup_tables(graph: Any) -> dict[Any, tuple[tf.DType, tf.DType]]:
    captured = {inner.op: outer for outer, inner in graph.captures}
    return {
        captured[op.inputs[0].op].ref(): (op.get_attr("Tin"), op.get_attr("Tout"))
        for op in graph.get_operations()
        if op.type == "LookupTableFindV2" and op.inputs[0].op in captured
    }


def _is_plus(value: tf.Tensor, start: tf.Tensor) -> bool:
    """Whether `value` is `start` plus or minus something that does not depend on `start`."""
    if value is start:
        return True
    if value.op.type in ("Identity", "Cast"):
        return _is_plus(value.op.inputs[0], start)
    if value.op.type not in ("Add", "AddV2", "AddN", "Sub"):
        return False
    dependent = [i for i in value.op.inputs if start.op in _ancestors([i.op])]
    if len(dependent) != 1 or (value.op.type == "Sub" and dependent[0] is not value.op.inputs[0]):
        return False
    return _is_plus(dependent[0], start)


def _is_linear(value: tf.Tensor, start: tf.Tensor) -> bool:
    """Whether `value` is a multiple of `start`, element by element, plus something without it."""
    if value is start:
        return True
    factors = value.op.inputs
    dependent = [i for i in factors if start.op in _ancestors([i.op])]
    if value.op.type in ("Mul", "RealDiv", "Div"):
        is_divided = value.op.type == "Mul" or (dependent and dependent[0] is factors[0])
        if len(dependent) != 1 or not is_divided:
            return False
    elif value.op.type not in ("Add", "AddV2", "AddN", "Cast", "Identity", "Neg", "Sub"):
        return False
    return bool(dependent) and all(_is_linear(i, start) for i in dependent)


def _is_dense_integer(indices: Any) -> bool:
    if isinstance(indices, tf.RaggedTensor | tf.SparseTensor | keras.KerasTensor):
        return False
    return bool(tf.as_dtype(getattr(indices, "dtype", tf.float32)).is_integer)


def _placeholder(spec: tf.TensorSpec) -> tf.Tensor:
    return tf.compat.v1.placeholder(spec.dtype, spec.shape)


def _follows_from_batch(ids: tf.Tensor, graph: Any, unknown: set[Any]) -> bool:
    """Whether `ids` depends on the batch alone, and is the same each time it is computed."""
    if ids.graph is not graph:  # inside of a loop or a branch of the model
        return False
    return not any(
        op in unknown or (op.op_def.is_stateful and op.type not in _PURE_LOOKUPS)
        for op in _ancestors([ids.op])
    )


def _ancestors(ops: list[Any]) -> set[Any]:
    """Return `ops` and all ops that their values depend on."""
    found: set[Any] = set()
    stack = list(ops)
    while stack:
        op = stack.pop()
        if op not in found:
            found.add(op)
            stack.extend(tensor.op for tensor in op.inputs)
    return found


def _from_any(outputs: Any, tensors: list[tf.Tensor]) -> list[str]:
    """Return the keys of `outputs`, if it is a dictionary, whose tensor depends on some tensors."""
    if not isinstance(outputs, dict):
        return []
    ops = {tensor.op for tensor in tensors}
    return [name for name, x in outputs.items() if tf.is_tensor(x) and ops & _ancestors([x.op])]


@dataclasses.dataclass(frozen=True)
class _RowIds:
    """Computes the ids of lookups from a batch, by a copy of that part of the discovered graph."""

    graph: Any
    placeholders: list[tf.Tensor]
    ids: list[list[tf.Tensor]]

    def __call__(self, batch: Any) -> list[list[tf.Tensor]]:
        flat = [tensor for lookups in self.ids for tensor in lookups]
        if not flat:
            return []
        known = {op.name for op in _ancestors([tensor.op for tensor in flat])}
        whole = self.graph.as_graph_def()
        definition = tf.compat.v1.GraphDef(
            node=[node for node in whole.node if node.name in known],
            versions=whole.versions,
            library=whole.library,
        )
        inputs = {
            name: value
            for name, value in self._inputs(batch).items()
            if name.split(":")[0] in known
        }
        imported = iter(
            tf.graph_util.import_graph_def(
                definition, input_map=inputs, return_elements=[t.name for t in flat], name="row_ids"
            )
        )
        return [[_with_shape(next(imported), like) for like in lookups] for lookups in self.ids]

    def _inputs(self, batch: Any) -> Mapping[str, tf.Tensor]:
        values = tf.nest.flatten(batch, expand_composites=True)
        inputs = {p.name: value for p, value in zip(self.placeholders, values, strict=True)}
        # Captures, such as a lookup table's handle, are eager: identity copies them to this graph.
        inputs.update({inner.name: tf.identity(outer) for outer, inner in self.graph.captures})
        return inputs


def _with_shape(tensor: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    tensor.set_shape(like.shape)
    return tensor
