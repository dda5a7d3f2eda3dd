"""A variable in shards gives what a whole one gives, eagerly and within a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfps._tensorflow import ShardedVariable

VALUE = np.arange(14.0, dtype="float32").reshape(7, 2)
IDS = np.array([[6, 0, 3], [2, 2, 5]])


def split(value: Any = VALUE, **arguments: Any) -> ShardedVariable:
    pieces = [value[:3], value[3:5], value[5:]]  # as TensorFlow splits
    return ShardedVariable([tf.Variable(piece, **arguments) for piece in pieces], name="v")


READS: dict[str, Callable[[Any], Any]] = {
    "gather": lambda v: tf.gather(v, IDS),
    "gather of a list": lambda v: tf.gather(v, [5, 0, 3]),
    "gather of int64": lambda v: tf.gather(v, tf.constant(IDS, tf.int64)),
    "gather of a scalar": lambda v: tf.gather(v, 4),
    "gather of none": lambda v: tf.gather(v, tf.zeros([0], tf.int32)),
    "gather of columns": lambda v: tf.gather(v, [1, 0], axis=1),
    "gather_nd": lambda v: tf.gather_nd(v, [[6, 1], [0, 0]]),
    "lookup": lambda v: tf.nn.embedding_lookup(v, IDS),
    "lookup with a norm": lambda v: tf.nn.embedding_lookup(v, IDS, max_norm=2.0),
    "lookup by mod": lambda v: tf.compat.v1.nn.embedding_lookup(v, IDS, partition_strategy="mod"),
    "ragged lookup": lambda v: tf.nn.embedding_lookup(
        v, tf.ragged.constant([[5, 0], [3]])
    ).to_tensor(),
    "sparse lookup": lambda v: tf.nn.embedding_lookup_sparse(
        v, tf.sparse.from_dense([[5, 1, 0], [3, 0, 0]]), None, combiner="sum"
    ),
    "safe sparse lookup": lambda v: tf.nn.safe_embedding_lookup_sparse(
        v, tf.sparse.from_dense([[5, 1, 0], [3, 0, 0]])
    ),
    "row": lambda v: v[5],
    "last row": lambda v: v[-1],
    "row by a NumPy number": lambda v: v[np.int64(2)],
    "row by a tensor": lambda v: v[tf.constant(5)],
    "element": lambda v: v[4, 1],
    "column": lambda v: v[:, 1],
    "last axis": lambda v: v[..., 0],
    "new axis": lambda v: v[tf.newaxis, 1:3],
    "rows": lambda v: v[1:6],
    "rows from the end": lambda v: v[-3:],
    "rows beyond the end": lambda v: v[-20:30],
    "no rows": lambda v: v[5:2],
    "every other row": lambda v: v[1::2, 1:],
    "backwards": lambda v: v[::-1],
    "backwards by two": lambda v: v[5:0:-2],
    "rows by tensors": lambda v: v[tf.constant(1) : tf.constant(5) : 2],
    "mask": lambda v: v[tf.constant([True, False, True, False, True, True, False])],
    "NumPy mask": lambda v: tf.boolean_mask(v, np.arange(7) % 2 == 0),
    "all": lambda v: v[:],
    "rows one by one": lambda v: tf.stack(list(v)) if tf.executing_eagerly() else v[:],
    "sum": lambda v: tf.reduce_sum(v * 2 + v - 1 / (v + 1), axis=0),
    "product": lambda v: v @ tf.transpose(v) + tf.matmul(v, v, transpose_b=True),
    "comparison": lambda v: tf.cast(v > 3, tf.int32) + tf.cast(-v <= -5, tf.int32),
    "identity": lambda v: tf.identity(v),
    "cast": lambda v: tf.cast(v, tf.float64),
    "shape": lambda v: tf.concat([tf.shape(v), [tf.size(v), tf.rank(v)]], axis=0),
    "stack": lambda v: tf.stack([v, tf.zeros_like(v)]),
    "slice": lambda v: tf.slice(v, [2, 0], [4, 1]),
    "read_value": lambda v: v.read_value(),
    "value": lambda v: v.value(),
}


@pytest.mark.parametrize("name", list(READS))
def test_reads(name: str) -> None:
    sharded, expected = split(), READS[name](tf.Variable(VALUE))
    tf.debugging.assert_equal(READS[name](sharded), expected)
    in_function = tf.function(lambda: READS[name](sharded))()
    tf.debugging.assert_equal(in_function, expected)
    assert in_function.shape == expected.shape


def test_as_an_argument_of_a_function_and_within_a_scope_of_any_name() -> None:
    def read(v: Any) -> Any:
        with tf.name_scope("embedding_lookup"):
            return tf.gather(v, IDS), v + 1.0, tf.convert_to_tensor(v)

    for ours, theirs in zip(tf.function(read)(split()), read(VALUE), strict=True):
        tf.debugging.assert_equal(ours, theirs)


def test_a_vector_is_indexed_like_a_whole_one() -> None:
    vector = split(VALUE[:, 0])
    for index in (3, -1, slice(2, 6), slice(None, None, -3), ...):
        np.testing.assert_array_equal(vector[index], VALUE[:, 0][index])
    assert vector[..., 6] == 12.0


def test_numpy_reads_it() -> None:
    sharded = split()
    np.testing.assert_array_equal(sharded.numpy(), VALUE)
    np.testing.assert_array_equal(np.asarray(sharded), VALUE)
    np.testing.assert_array_equal(np.asarray(sharded, "float64") + sharded, 2 * VALUE)
    with pytest.raises(ValueError, match="asked for"):
        tf.convert_to_tensor(sharded, tf.float64)


@pytest.mark.parametrize("index", [7, -8])
def test_a_row_that_is_not_there_is_refused(index: int) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        tf.gather(split(), [0, index])
    with pytest.raises((tf.errors.InvalidArgumentError, IndexError)):
        split()[index]


ROWS = tf.IndexedSlices(tf.constant([[5.0, 6.0], [7.0, 8.0], [1.0, 2.0]]), tf.constant([6, 0, 3]))
WRITES: dict[str, Callable[[Any], Any]] = {
    "assign": lambda v: v.assign(VALUE[::-1].astype("float64")),
    "assign a list": lambda v: v.assign(VALUE[::-1].tolist()),
    "assign itself": lambda v: v.assign(v * 2),
    "assign_add": lambda v: v.assign_add(tf.ones_like(v)),
    "assign_sub": lambda v: v.assign_sub(VALUE),
    "scatter_add": lambda v: v.scatter_add(ROWS),
    "scatter_div": lambda v: v.scatter_div(ROWS),
    "scatter_max": lambda v: v.scatter_max(ROWS),
    "scatter_min": lambda v: v.scatter_min(ROWS),
    "scatter_mul": lambda v: v.scatter_mul(ROWS),
    "scatter_sub": lambda v: v.scatter_sub(ROWS),
    "scatter_update": lambda v: v.scatter_update(ROWS),
    "scatter_update of lists": lambda v: v.scatter_update(
        tf.IndexedSlices([[5.0, 6.0], [7.0, 8.0]], (6, 0))
    ),
}


@pytest.mark.parametrize("name", list(WRITES))
def test_writes(name: str) -> None:
    sharded, whole = split(), tf.Variable(VALUE)
    write = WRITES[name]
    tf.debugging.assert_equal(tf.identity(write(sharded)), tf.identity(write(whole)))

    @tf.function
    def write_and_read() -> Any:
        write(sharded)
        return sharded, sharded * 1

    write(whole)
    for value in (*write_and_read(), sharded):
        np.testing.assert_array_equal(value, whole.numpy())


@pytest.mark.parametrize("method", ["assign", "assign_add", "assign_sub"])
def test_another_shape_is_refused_before_anything_is_assigned(method: str) -> None:
    sharded = split()
    for rows in (6, 8):
        with pytest.raises(ValueError, match=rf"'v'.*shape \(7, 2\).*shape \({rows}, 2\)"):
            getattr(sharded, method)(tf.ones([rows, 2]))

    @tf.function(input_signature=[tf.TensorSpec([None, 2])])
    def write(value: tf.Tensor) -> None:
        getattr(sharded, method)(value)

    with pytest.raises(tf.errors.InvalidArgumentError):
        write(tf.ones([8, 2]))
    np.testing.assert_array_equal(sharded.numpy(), VALUE)


def test_it_says_what_keras_asks_of_a_tensorflow_variable() -> None:
    assert split().constraint is None
    assert split().trainable


def test_a_tape_differentiates_by_it() -> None:
    def gradients(v: Any) -> Any:
        with tf.GradientTape(persistent=True) as tape:
            rows = tf.reduce_sum(tf.gather(v, IDS) ** 2)
            lookup = tf.reduce_sum(tf.nn.embedding_lookup(v, IDS) ** 3)
            some = tf.reduce_sum(v[1:3] ** 2)
            whole = tf.reduce_sum(v**2)
            constant = tf.constant(1.0)
        found = [tape.gradient(loss, v) for loss in (rows, lookup, some, whole)]
        assert tape.gradient(constant, v) is None
        return [tf.convert_to_tensor(gradient) for gradient in found]

    sharded, whole = split(), tf.Variable(VALUE)
    expected = gradients(whole)
    for found in (gradients(sharded), tf.function(lambda: gradients(sharded))()):
        for ours, theirs in zip(found, expected, strict=True):
            tf.debugging.assert_near(ours, theirs)
    assert sharded.trainable
    assert not split(trainable=False).trainable
