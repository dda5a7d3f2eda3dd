"""Discover: trace a computation once to learn which parameters it needs.

The trace goes into a graph of its own that is never run. From it tfps knows, before the first
step, which parameters are needed whole and which are only looked up by row. If the ids of a lookup
depend on the batch alone, its rows can be pulled before the computation starts.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfps._tensorflow import FuncGraph
from tfps.params.variable_map import VariableMap, VariableSet
from tfps.step.dataflow import ancestors, follows_from_batch
from tfps.step.probe import ApplyCall, Probe


@dataclasses.dataclass(frozen=True, kw_only=True)
class Demand:
    """What a computation reads and writes.

    Attributes:
        whole: the variables whose whole value it reads, or that it writes. These and the following
            variables are in the order in which the computation first uses them.
        tables: the variables of which it only looks up rows.
        looked_up_whole: those in `whole` of which it looks up rows, each with the reason why they
            are not in `tables`, and what to do.
        written: the variables that it assigns to.
        moved: those of them that it moves: by adding to them, or by a moving average. What several
            workers moved adds up; what they assign else does not.
        applied: the calls of its optimizers' `apply`, in order.
        live: the variables that must be variables while it runs: it assigns to them in a branch or
            a loop, or reads them after an `apply` that changes them.
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
    looked_up_whole: VariableMap[str]
    written: tuple[keras.Variable, ...]
    moved: tuple[keras.Variable, ...]
    applied: tuple[ApplyCall, ...]
    live: tuple[keras.Variable, ...]
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
        with Probe(graph) as probe, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the trace that runs warns again
            outputs = computation(batch)
    unknown = {value.op for value in probe.placeholders.values()}
    by_row = VariableMap(
        (table, ids)
        for table, ids in probe.lookups.items()
        if table not in probe.read | probe.written
        and all(follows_from_batch(i, graph, unknown) for i in ids)
    )
    whole = VariableSet(v for v in probe.placeholders if v in probe.read or v in probe.written)
    whole |= VariableSet(table for table in probe.lookups if table not in by_row)
    applied = probe.applied()
    return Demand(
        whole=tuple(whole),
        tables=tuple(by_row),
        looked_up_whole=VariableMap((v, why) for v in whole if (why := probe.why_whole(v))),
        written=tuple(v for v in probe.placeholders if v in probe.written),
        moved=tuple(v for v in probe.placeholders if v in probe.written and probe.is_moved(v)),
        applied=tuple(applied),
        live=tuple(probe.live(applied)),
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


def _lookup_tables(graph: Any) -> dict[Any, tuple[tf.DType, tf.DType]]:
    captured = {inner.op: outer for outer, inner in graph.captures}
    return {
        captured[op.inputs[0].op].ref(): (op.get_attr("Tin"), op.get_attr("Tout"))
        for op in graph.get_operations()
        if op.type == "LookupTableFindV2" and op.inputs[0].op in captured
    }


def _placeholder(spec: tf.TensorSpec) -> tf.Tensor:
    return tf.compat.v1.placeholder(spec.dtype, spec.shape)


def _from_any(outputs: Any, tensors: list[tf.Tensor]) -> list[str]:
    """Return the keys of `outputs`, if it is a dictionary, whose tensor depends on some tensors."""
    if not isinstance(outputs, dict):
        return []
    ops = {tensor.op for tensor in tensors}
    return [name for name, x in outputs.items() if tf.is_tensor(x) and ops & ancestors([x.op])]


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
        known = {op.name for op in ancestors([tensor.op for tensor in flat])}
        whole = self.graph.as_graph_def()
        definition = tf.compat.v1.GraphDef(
            node=[node for node in whole.node if node.name in known],
            versions=whole.versions,
            library=whole.library,
        )
        inputs = {
            name: value
            for name, value in self._values_of(batch).items()
            if name.split(":")[0] in known
        }
        imported = iter(
            tf.graph_util.import_graph_def(
                definition, input_map=inputs, return_elements=[t.name for t in flat], name="row_ids"
            )
        )
        return [[_with_shape(next(imported), like) for like in lookups] for lookups in self.ids]

    def _values_of(self, batch: Any) -> Mapping[str, tf.Tensor]:
        values = [v for v in tf.nest.flatten(batch, expand_composites=True) if v is not None]
        inputs = {p.name: value for p, value in zip(self.placeholders, values, strict=True)}
        # Captures, such as a lookup table's handle, are eager: identity copies them to this graph.
        inputs.update({inner.name: tf.identity(outer) for outer, inner in self.graph.captures})
        return inputs


def _with_shape(tensor: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    tensor.set_shape(like.shape)
    return tensor
