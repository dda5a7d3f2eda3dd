"""Shards as keys of mappings."""

from __future__ import annotations

import tensorflow as tf

from tfps.params.shards import Shard


def test_two_shards_are_the_same_key_if_one_variable_holds_them() -> None:
    variable, other = tf.Variable([1.0, 2.0]), tf.Variable([1.0, 2.0])
    values = {Shard(variable=variable, ps=0, first_row=0): "a"}
    values[Shard(variable=other, ps=0, first_row=0)] = "b"
    values[Shard(variable=variable, ps=0, first_row=0)] = "c"
    assert list(values.values()) == ["c", "b"]
    assert Shard(variable=variable, ps=0, first_row=0) != variable
