"""Shards as keys of mappings, and the ps that update them."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tfps._tensorflow import ShardedVariable
from tfps.params import shards
from tfps.params.shards import Shard


def test_two_shards_are_the_same_key_if_one_variable_holds_them() -> None:
    variable, other = tf.Variable([1.0, 2.0]), tf.Variable([1.0, 2.0])
    values = {Shard(variable=variable, ps=0, first_row=0): "a"}
    values[Shard(variable=other, ps=0, first_row=0)] = "b"
    values[Shard(variable=variable, ps=0, first_row=0)] = "c"
    assert list(values.values()) == ["c", "b"]
    assert Shard(variable=variable, ps=0, first_row=0) != variable


def split(monkeypatch: pytest.MonkeyPatch, *rows: int) -> tf.Variable:
    """Return a variable of shards that lie on ps 0, 1, ..."""
    parts = [tf.Variable(tf.zeros([count, 2])) for count in rows]
    ps = {id(part): index for index, part in enumerate(parts)}
    before = shards._ps_of
    monkeypatch.setattr(
        shards, "_ps_of", lambda v, part: ps[id(part)] if id(part) in ps else before(v, part)
    )
    return ShardedVariable(parts) if len(parts) > 1 else parts[0]


def test_variables_that_are_updated_whole_are_spread_over_the_ps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large, small, other = (split(monkeypatch, *rows) for rows in ((5, 5), (2, 2), (1, 1)))
    one_piece = split(monkeypatch, 3)
    for variable in (large, small, other, one_piece):
        assert shards.updated_parts(variable) == shards.shards(variable)
        assert shards.updated_on(variable) is None
    shards.update_whole([large, small, one_piece, other])
    shards.update_whole([other, small])  # another optimizer finds them as they are
    assert [shards.updated_on(v) for v in (large, small, one_piece, other)] == [0, 1, None, 1]
    (part,) = shards.updated_parts(small)
    assert (part.ps, part.shape, part.first_row) == (1, (4, 2), 0)
    assert part.variable is small
    assert len(shards.shards(small)) == 2
