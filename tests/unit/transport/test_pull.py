"""What a pull reads after what."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

from tfps._tensorflow import FuncGraph
from tfps.params.shards import Shard
from tfps.transport import pull, transfer


@pytest.mark.parametrize("updated_on", [None, 0])
def test_a_shard_is_read_after_the_version_of_the_ps_that_updates_it(
    monkeypatch: pytest.MonkeyPatch, updated_on: int | None
) -> None:
    whole: Any = tf.Variable([0.0, 0.0])
    parts = [tf.Variable([0.0]), tf.Variable([0.0])]
    split = [Shard(variable=part, ps=ps, first_row=ps) for ps, part in enumerate(parts)]
    monkeypatch.setattr(pull, "shards", lambda variable: split)
    monkeypatch.setattr(pull, "updated_on", lambda variable: updated_on)
    for module in (pull, transfer):
        monkeypatch.setattr(module, "ps_device", lambda ps: "/CPU:0", raising=False)
    graph = FuncGraph("pull")
    with graph.as_default():
        versions = {ps: tf.compat.v1.placeholder(tf.int64, []) for ps in (0, 1)}
        pull._receive([whole], {}, {}, None, {"effect": versions})
        handles = {graph.capture(part.handle).op: ps for ps, part in enumerate(parts)}
    reads = {
        handles[op.inputs[0].op]: set(op.control_inputs)
        for op in graph.get_operations()
        if op.type == "ReadVariableOp"
    }
    both = {version.op for version in versions.values()}
    assert reads == {0: {versions[0].op}, 1: {versions[1].op} if updated_on is None else both}
