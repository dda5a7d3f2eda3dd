"""What a computation asks of the parameters."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfps import _keras
from tfps.step.discover import discover

IDS = tf.TensorSpec([None, 3], tf.int32)


@pytest.fixture(autouse=True)
def _installed() -> None:
    _keras.install()


def variable(*shape: int, name: str = "v", trainable: bool = True) -> keras.Variable:
    return keras.Variable(np.zeros(shape, "float32"), name=name, trainable=trainable)


def test_a_lookup_asks_for_rows_and_arithmetic_for_the_whole() -> None:
    table, kernel = variable(9, 2), variable(2, 4)
    demand = discover(lambda ids: keras.ops.take(table, ids, axis=0) @ kernel, IDS)
    assert [id(v) for v in demand.tables] == [id(table)]
    assert [id(v) for v in demand.whole] == [id(kernel)]
    assert demand.written == ()


def test_what_is_first_used_inside_of_a_loop_is_found() -> None:
    kernel = variable(3)

    def computation(ids: Any) -> Any:
        def body(i: Any, total: Any) -> Any:
            return i + 1, total + tf.convert_to_tensor(kernel)

        return tf.while_loop(lambda i, _: i < 3, body, [0, tf.zeros([3])])

    assert [id(v) for v in discover(computation, IDS).whole] == [id(kernel)]


def test_row_ids_are_computed_from_a_batch_in_another_graph() -> None:
    table = variable(100, 2)

    def computation(batch: Any) -> Any:
        a = keras.ops.take(table, batch["a"] + 1, axis=0)
        return a, keras.ops.take(table, keras.ops.cast(batch["b"], "int32") * 2, axis=0)

    spec = {"a": IDS, "b": tf.TensorSpec([None], tf.float32)}
    demand = discover(computation, spec)

    @tf.function
    def ids_of(batch: Any) -> Any:
        return demand.row_ids(batch)

    ((first, second),) = ids_of({"a": tf.constant([[1, 2, 3]]), "b": tf.constant([4.0, 5.0])})
    assert first.numpy().tolist() == [[2, 3, 4]]
    assert second.numpy().tolist() == [8, 10]


def test_string_lookups_in_the_model_are_followed() -> None:
    table = variable(10, 2)
    words = keras.layers.StringLookup(vocabulary=["a", "b"])
    spec = tf.TensorSpec([None], tf.string)
    demand = discover(lambda x: keras.ops.take(table, words(x), axis=0), spec)

    @tf.function
    def ids_of(batch: Any) -> Any:
        return demand.row_ids(batch)

    ((ids,),) = ids_of(tf.constant(["b", "x"]))
    assert ids.numpy().tolist() == [2, 0]


def ids_from_a_variable(table: keras.Variable, ids: Any) -> Any:
    first = keras.ops.take(table, ids, axis=0)
    return keras.ops.take(table, keras.ops.argmax(first, axis=-1), axis=0)


def ids_at_random(table: keras.Variable, ids: Any) -> Any:
    return keras.ops.take(table, ids + tf.random.uniform([], 0, 2, tf.int32), axis=0)


def ids_in_a_loop(table: keras.Variable, ids: Any) -> Any:
    def body(i: Any, total: Any) -> Any:
        return i + 1, total + keras.ops.take(table, ids[:, 0] + i, axis=0)

    return tf.while_loop(lambda i, _: i < 3, body, [0, tf.zeros([tf.shape(ids)[0], 2])])


def tied(table: keras.Variable, ids: Any) -> Any:
    return keras.ops.take(table, ids, axis=0) @ keras.ops.transpose(table)


@pytest.mark.parametrize("computation", [ids_from_a_variable, ids_at_random, ids_in_a_loop, tied])
def test_what_does_not_follow_from_the_batch_alone_needs_the_whole(computation: Any) -> None:
    table = variable(9, 2)
    demand = discover(lambda ids: computation(table, ids), IDS)
    assert demand.tables == ()
    assert [id(v) for v in demand.whole] == [id(table)]


def test_what_is_written_is_named() -> None:
    layer = keras.layers.BatchNormalization()
    layer.build((None, 4))
    spec = tf.TensorSpec([None, 4], tf.float32)
    demand = discover(lambda x: layer(x, training=True), spec)
    assert {v.name for v in demand.written} == {"moving_mean", "moving_variance"}
    assert {v.name for v in demand.whole} == {"gamma", "beta", "moving_mean", "moving_variance"}


def test_nothing_is_written_to_the_variables() -> None:
    layer = keras.layers.BatchNormalization()
    layer.build((None, 4))
    before = [v.numpy() for v in layer.variables]
    spec = tf.TensorSpec([None, 4], tf.float32)
    discover(lambda x: layer(x + 7.0, training=True), spec)
    for value, now in zip(before, layer.variables, strict=True):
        np.testing.assert_array_equal(value, now.numpy())


def apply_to(optimizer: Any, *variables: keras.Variable) -> None:
    with tf.GradientTape() as tape:
        total = tf.add_n([tf.reduce_sum(tf.convert_to_tensor(v)) for v in variables])
    optimizer.apply(tape.gradient(total, list(variables)), list(variables))


def in_branch(apply: Any, ids: Any) -> None:
    tf.cond(tf.reduce_sum(ids) > 0, apply, lambda: None)


def in_loop(apply: Any, ids: Any) -> None:
    tf.while_loop(lambda i: i < 3, lambda i: (apply(), i + 1)[1:], [0])


@pytest.mark.parametrize("place", ["last", "read", "assigned", "again", "in a branch", "in a loop"])
def test_what_a_call_of_apply_changes_and_the_rest_of_the_step_uses(place: str) -> None:
    a, b = variable(3, name="a"), variable(2, name="b")
    optimizer = keras.optimizers.SGD(1.0, momentum=0.9)
    optimizer.build([a, b])

    def computation(ids: Any) -> Any:
        if place.startswith("in"):
            (in_branch if place == "in a branch" else in_loop)(lambda: apply_to(optimizer, a), ids)
            return ids
        apply_to(optimizer, a, b)
        if place == "read":
            return ids, tf.convert_to_tensor(a)
        if place == "assigned":
            b.assign(tf.zeros([2]))
        if place == "again":
            apply_to(optimizer, b)
        return ids

    demand = discover(computation, IDS)
    call = demand.applied[0]
    used = {"last": [], "read": [a], "assigned": [b], "in a branch": []}
    step = optimizer.iterations
    expected = {**used, "again": [b, step], "in a loop": [a, step]}[place]
    assert {id(v) for v in call.used} == {id(v) for v in expected}
    assert (call.is_inline, call.is_certain) == (place != "last", not place.startswith("in"))
    assert call.is_repeated == (place == "in a loop")
    assert {id(v) for v in demand.live} == {id(v) for v in expected}
    assert [c.is_inline for c in demand.applied[1:]] == [False] * (place == "again")


def test_what_is_added_in_a_branch_or_a_loop_is_a_sum_and_anything_else_is_not() -> None:
    total, mean, queue, carried = (variable(name=n, trainable=False) for n in "abcd")

    def body(i: Any, x: Any) -> Any:
        total.assign_add(x)
        mean.assign(0.9 * mean + 0.1 * x)
        queue.assign(x)
        carried.assign_add(x)
        return i + 1, x + tf.convert_to_tensor(carried)

    def computation(ids: Any) -> Any:
        tf.cond(tf.reduce_sum(ids) > 0, lambda: total.assign_add(2.0), lambda: 0.0)
        tf.while_loop(lambda i, _: i < 3, body, [0, tf.cast(tf.reduce_sum(ids), tf.float32)])
        return ids

    demand = discover(computation, IDS)
    assert {v.name for v in demand.live} == {v.name for v in demand.written} == set("abcd")
    assert {v.name for v in demand.sums} == {"a"}
    assert {v.name for v in demand.moved} == {"a", "b"}


def test_why_a_table_is_whole() -> None:
    tied, constant, lookup, chosen, dense = (variable(9, 2, name=n) for n in "abcde")
    by_row = variable(9, 2)

    def computation(ids: Any) -> Any:
        rows = keras.ops.take(tied, ids, axis=0) + keras.ops.take(by_row, ids, axis=0)
        rows += tf.gather(lookup, ids) + tf.nn.embedding_lookup(lookup, ids)
        rows += keras.ops.take(chosen, tf.argmax(constant)[:1], axis=0)
        rows += dense[0]
        return keras.ops.matmul(keras.ops.cast(rows, "float16"), keras.ops.transpose(tied))

    demand = discover(computation, IDS)
    assert [v.name for v in demand.tables] == [by_row.name]
    why = {v.name: reason for v, reason in demand.looked_up_whole.items()}
    assert sorted(why) == ["a", "c", "d"]
    assert "MatMul" in why["a"]
    assert "untied output weights" in why["a"]
    assert "keras.ops.take" in why["c"]
    assert "inputs alone" in why["d"]
