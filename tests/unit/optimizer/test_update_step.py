"""One op updates a shard, and takes the step of plain Keras; this process stands for the ps."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import optimizers

from tfps.optimizer import apply, update_step, views
from tfps.optimizer.apply import PsOptimizer
from tfps.params import variables
from tfps.params.shards import Shard, shards
from tfps.params.variable_map import VariableMap
from tfps.transport.send import ShardGradient

STEPS = 20
SHAPES = [(), (7,), (5, 4), (2, 3, 2, 2)]
COMPILED = "compiled by XLA"

Make = Callable[[], optimizers.Optimizer]


@pytest.fixture(autouse=True)
def _compile_what_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update_step, "_LEAST_COMPILED", 0)


def excluding(optimizer: optimizers.Optimizer) -> optimizers.Optimizer:
    optimizer.exclude_from_weight_decay(var_names=["v1"])
    return optimizer


CASES: dict[str, tuple[str, Make]] = {
    "SGD": ("ResourceApplyGradientDescent", lambda: optimizers.SGD(0.1)),
    "SGD, decay": (
        "ResourceApplyGradientDescent",
        lambda: excluding(optimizers.SGD(0.1, weight_decay=0.1)),
    ),
    "momentum": ("ResourceApplyKerasMomentum", lambda: optimizers.SGD(0.05, momentum=0.9)),
    "Nesterov": (
        "ResourceApplyKerasMomentum",
        lambda: optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    ),
    "Adam": ("ResourceApplyAdam", lambda: optimizers.Adam(0.01)),
    "Adam, slow": ("ResourceApplyAdam", lambda: optimizers.Adam(0.1, beta_1=0.8, beta_2=0.9999)),
    "Adam, schedule": (
        "ResourceApplyAdam",
        lambda: optimizers.Adam(optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)),
    ),
    "Adam, epsilon": ("ResourceApplyAdam", lambda: optimizers.Adam(0.01, epsilon=0.1)),
    "AdamW": ("ResourceApplyAdam", lambda: excluding(optimizers.AdamW(0.01, weight_decay=0.5))),
    "amsgrad": ("ResourceApplyAdamWithAmsgrad", lambda: optimizers.Adam(0.01, amsgrad=True)),
    "Adamax": ("ResourceApplyAdaMax", lambda: optimizers.Adamax(0.01)),
    "Adadelta": ("ResourceApplyAdadelta", lambda: optimizers.Adadelta(1.0, rho=0.9)),
    "Ftrl": ("ResourceApplyFtrlV2", lambda: optimizers.Ftrl(0.1)),
    "Ftrl, options": (
        "ResourceApplyFtrlV2",
        lambda: optimizers.Ftrl(
            0.1,
            learning_rate_power=-0.3,
            initial_accumulator_value=0.5,
            l1_regularization_strength=0.05,
            l2_regularization_strength=0.1,
            l2_shrinkage_regularization_strength=0.02,
            beta=0.3,
        ),
    ),
    "Adagrad": (COMPILED, lambda: optimizers.Adagrad(0.1)),
    "Adagrad, from 0": (COMPILED, lambda: optimizers.Adagrad(0.1, initial_accumulator_value=0.0)),
    "RMSprop": (COMPILED, lambda: optimizers.RMSprop(0.01)),
    "RMSprop, options": (
        COMPILED,
        lambda: optimizers.RMSprop(0.01, rho=0.99, momentum=0.9, centered=True, epsilon=1e-3),
    ),
    "Nadam": (COMPILED, lambda: optimizers.Nadam(0.01)),
    "Lion": (COMPILED, lambda: optimizers.Lion(0.01, weight_decay=0.1)),
    "ScheduleFreeAdamW": (COMPILED, lambda: optimizers.ScheduleFreeAdamW(0.01, warmup_steps=3)),
}
SOME = ["SGD", "momentum", "AdamW", "Adamax", "Adadelta", "Ftrl", "Adagrad", "RMSprop", "Nadam"]


@pytest.fixture(autouse=True)
def _this_process_is_the_ps(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (apply, variables, views):
        monkeypatch.setattr(module, "ps_device", lambda ps: "/device:CPU:0")
    monkeypatch.setattr("tfps.params.shards._ps_of", lambda variable, piece: 0)


def random_values(seed: int, dtype: str = "float32") -> list[np.ndarray]:
    """Return one array for each shape, of values of very different sizes."""
    generator = np.random.default_rng(seed)
    sizes = [10.0 ** generator.integers(-3, 2, size=shape) for shape in SHAPES]
    return [(generator.normal(size=np.shape(s)) * s).astype(dtype) for s in sizes]


def variable(values: np.ndarray, dtype: str = "float32", name: str = "v") -> keras.Variable:
    return keras.Variable(values, dtype=dtype, name=name)


def parameters(dtype: str = "float32") -> list[keras.Variable]:
    weights = [np.clip(value, -1, 1) for value in random_values(0)]
    return [variable(w, dtype, f"v{i}") for i, w in enumerate(weights)]


def applied(
    optimizer: optimizers.Optimizer, variables: Sequence[keras.Variable], **arguments: Any
) -> Any:
    """Return the function that applies gradients to `variables` as their ps does."""
    served = PsOptimizer(optimizer, **arguments)
    served.place()

    def update(gradients: list[tf.Tensor]) -> None:
        counters = VariableMap((v, v.value.read_value()) for v in served.counters)
        by_shard = [
            ShardGradient(variable=v, shard=shards(v)[0], value=g)
            for v, g in zip(variables, gradients, strict=True)
        ]
        served.apply(by_shard, {0: counters})

    specs = [tf.TensorSpec(v.shape, v.dtype) for v in variables]
    return tf.function(update, autograph=False).get_concrete_function(specs)


def served(make: Make, dtype: str = "float32") -> tuple[list[keras.Variable], Any]:
    variables, optimizer = parameters(dtype), make()
    optimizer.build(variables)
    return variables, applied(optimizer, variables)


def assert_equal(variables: Any, expected: Any, relative: float = 1e-6) -> None:
    for ours, theirs in zip(variables, expected, strict=True):
        theirs = np.asarray(theirs, "float64")
        atol = relative * np.abs(theirs).max()
        np.testing.assert_allclose(np.asarray(ours, "float64"), theirs, rtol=0, atol=atol)


def ops(function: Any) -> collections.Counter[str]:
    """Count the ops that write to variables, and the functions that XLA compiles."""
    found: collections.Counter[str] = collections.Counter()
    for op in function.graph.get_operations():
        if op.type.startswith(("Assign", "ResourceApply", "ResourceCount", "ResourceScatter")):
            found[op.type] += 1
        elif op.type.endswith("PartitionedCall") and op.get_attr("_XlaMustCompile"):
            found[COMPILED] += 1
    return found


@pytest.mark.parametrize(
    ("name", "dtype"), [(name, "float32") for name in CASES] + [(name, "float64") for name in SOME]
)
def test_twenty_steps_are_those_of_plain_keras(name: str, dtype: str) -> None:
    _, make = CASES[name]
    variables, update = served(make, dtype)
    plain, optimizer = parameters(dtype), make()
    optimizer.build(plain)
    for step in range(STEPS):
        gradients = [tf.constant(g) for g in random_values(step + 1, dtype)]
        update(gradients)
        optimizer.apply(gradients, plain)
    assert_equal(variables, plain)
    assert int(optimizer.iterations) == STEPS


@pytest.mark.parametrize("name", CASES)
def test_each_shard_is_updated_by_one_op(name: str) -> None:
    expected, make = CASES[name]
    _, update = served(make)
    found = ops(update)
    assert found.pop(expected) == len(SHAPES)
    optimizer = make()
    decayed = 0 if optimizer.weight_decay is None else len(SHAPES) - (name != "Lion")
    assert found.pop("AssignSubVariableOp", 0) == decayed
    assert found.pop("AssignVariableOp", 0) == isinstance(optimizer, optimizers.Nadam)
    by_number = (optimizers.Adam, optimizers.Adamax, optimizers.Nadam, optimizers.ScheduleFreeAdamW)
    # The global step, and the number of the update.
    assert found == {"ResourceCountUpTo": 1 + isinstance(optimizer, by_number)}
    kernels = [op for op in update.graph.get_operations() if op.type.startswith("ResourceApply")]
    assert all(op.get_attr("use_locking") for op in kernels)  # else concurrent updates get lost


def test_rows_are_written_under_the_lock_of_the_variable() -> None:
    """Not by ResourceScatterAdd: it locks as readers do, and concurrent updates get lost."""
    table = variable(np.ones((4, 2)))
    (shard,) = shards(table)

    def write() -> None:
        rows = views.RowView(table, shard, tf.constant([1, 3]))
        rows.assign(tf.ones([2, 2]))
        rows.assign_add(tf.ones([2, 2]))
        rows.assign_sub(tf.ones([2, 2]))

    graph = tf.function(write, autograph=False).get_concrete_function().graph
    writes = [op for op in graph.get_operations() if op.type.startswith("ResourceScatter")]
    assert [op.type.removeprefix("ResourceScatterNd") for op in writes] == ["Update", "Add", "Sub"]
    assert all(op.get_attr("use_locking") for op in writes)


def test_shards_of_one_shape_share_a_compiled_function() -> None:
    variables = [variable(np.ones(shape)) for shape in [(3, 2), (4,), (3, 2), (3, 2)]]
    optimizer = optimizers.RMSprop(0.1)
    optimizer.build(variables)
    update = applied(optimizer, variables)
    called = [op for op in update.graph.get_operations() if op.type.endswith("PartitionedCall")]
    assert len(called) == 4
    assert len({op.get_attr("f").name for op in called}) == 2
    update([tf.fill(v.shape, float(i)) for i, v in enumerate(variables)])
    expected = [1.0, 0.684, 0.684, 0.684]
    np.testing.assert_allclose([np.mean(v) for v in variables], expected, atol=1e-3)


def test_only_large_shards_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update_step, "_LEAST_COMPILED", 4096)
    variables = [variable(np.ones(shape)) for shape in [(64, 64), (64, 63)]]
    optimizer = optimizers.RMSprop(0.1)
    optimizer.build(variables)
    update = applied(optimizer, variables)
    assert ops(update)[COMPILED] == 1
    update([tf.ones(v.shape) for v in variables])
    np.testing.assert_allclose([np.mean(v) for v in variables], [0.684] * 2, atol=1e-3)


class Halved(optimizers.Adam):
    """A subclass with an update of its own."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        super().update_step(gradient, variable, learning_rate / 2)


@pytest.mark.parametrize(
    ("make", "dtype"),
    [
        (lambda: Halved(0.1), "float32"),
        (lambda: optimizers.Adam(0.1), "bfloat16"),
        (lambda: optimizers.RMSprop(0.1), "float16"),
        (lambda: optimizers.Lamb(0.1), "float32"),
    ],
    ids=["subclass", "bfloat16", "float16", "whole variable"],
)
def test_what_has_no_op_of_its_own_runs_its_update_step(make: Make, dtype: str) -> None:
    variables, update = served(make, dtype)
    plain, optimizer = parameters(dtype), make()
    optimizer.build(plain)
    written = {"AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp"}
    assert set(ops(update)) <= {*written, "ResourceCountUpTo"}
    gradients = [tf.cast(g, dtype) for g in random_values(1)]
    update(gradients)
    optimizer.apply(gradients, plain)
    assert_equal(variables, plain, relative=1e-6 if dtype == "float32" else 1e-2)


def test_a_constraint_holds_after_the_update() -> None:
    constrained = variable(np.ones((3, 2)))
    constrained.constraint = keras.constraints.NonNeg()
    optimizer = optimizers.SGD(1.0)
    optimizer.build([constrained])
    applied(optimizer, [constrained])([tf.constant([[2.0, 0.5]] * 3)])
    np.testing.assert_array_equal(constrained, [[0.0, 0.5]] * 3)


@pytest.mark.parametrize("make", [lambda: optimizers.SGD(1.0), lambda: optimizers.Adagrad(1.0)])
def test_updates_at_the_same_time_lose_nothing(make: Make) -> None:
    pushed_to, optimizer = variable(np.zeros(10_000)), make()
    optimizer.build([pushed_to])
    update = applied(optimizer, [pushed_to])
    times, ones = 100, tf.ones([10_000])

    def push() -> None:
        for _ in range(times):
            update([ones])

    threads = [threading.Thread(target=push) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    count = 4 * times
    assert int(optimizer.iterations) == count
    if isinstance(optimizer, optimizers.SGD):
        np.testing.assert_array_equal(pushed_to, np.full(10_000, -count))
    else:
        np.testing.assert_allclose(optimizer.variables[2], np.full(10_000, 0.1 + count), rtol=1e-5)


ROWS, WIDTH = 6, 3
IDS = [4, 1]


def table_update(make: Make, **arguments: Any) -> tuple[keras.Variable, Any]:
    """Return a table, and the function that applies gradients by its rows `IDS`."""
    table = variable(np.linspace(-1, 1, ROWS * WIDTH).reshape(ROWS, WIDTH))
    optimizer = make()
    optimizer.build([table])
    served = PsOptimizer(optimizer, **arguments)
    served.place()

    def update(gradient: tf.Tensor) -> None:
        counters = VariableMap((v, v.value.read_value()) for v in served.counters)
        shard = Shard(variable=table.value, ps=0, first_row=0)
        by_rows = ShardGradient(variable=table, shard=shard, value=gradient, ids=tf.constant(IDS))
        served.apply([by_rows], {0: counters})

    spec = tf.TensorSpec([len(IDS), WIDTH])
    return table, tf.function(update, autograph=False).get_concrete_function(spec)


def row_gradients() -> Iterator[np.ndarray]:
    generator = np.random.default_rng(3)
    for _ in range(STEPS):
        yield generator.normal(size=(len(IDS), WIDTH)).astype("float32")


@pytest.mark.parametrize("name", SOME)
def test_rows_are_updated_lazily_as_a_table_of_these_rows_alone(name: str) -> None:
    _, make = CASES[name]
    table, update = table_update(make)
    before = table.numpy()
    alone, optimizer = variable(before[IDS]), make()
    optimizer.build([alone])
    for gradient in row_gradients():
        update(tf.constant(gradient))
        optimizer.apply([tf.constant(gradient)], [alone])
    assert_equal([table.numpy()[IDS]], [alone])
    others = np.setdiff1d(range(ROWS), IDS)
    np.testing.assert_array_equal(table.numpy()[others], before[others])


@pytest.mark.parametrize("name", SOME)
def test_without_lazy_rows_a_table_is_updated_as_in_plain_keras(name: str) -> None:
    expected, make = CASES[name]
    table, update = table_update(make, lazy_rows=False)
    assert ops(update)[expected] == 1
    plain, optimizer = variable(table.numpy()), make()
    optimizer.build([plain])
    for gradient in row_gradients():
        update(tf.constant(gradient))
        whole = np.zeros((ROWS, WIDTH), "float32")
        whole[IDS] = gradient
        optimizer.apply([tf.constant(whole)], [plain])
    assert_equal([table], [plain])
