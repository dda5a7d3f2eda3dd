"""Tensors taken out of structures, and put back."""

from __future__ import annotations

import collections
import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from tfps.params.variable_map import VariableMap
from tfps.transport.tree import take_apart

Pair = collections.namedtuple("Pair", "left right")


@dataclasses.dataclass(frozen=True)
class Held:
    name: str
    values: list[Any]


def test_a_structure_is_built_anew_from_other_tensors() -> None:
    ragged = tf.ragged.constant([[1, 2], [3]])
    variable = tf.Variable(1.0)
    structure = {
        "held": Held("a", [tf.constant(1.0), (tf.constant(2.0), None)]),
        "pair": Pair(tf.constant(3.0), "text"),
        7: [ragged, variable, 5],
    }
    tensors, build = take_apart(structure)
    assert len(tensors) == 5  # a ragged tensor has two components
    doubled = build([2 * tensor if tensor.dtype == tf.float32 else tensor for tensor in tensors])
    assert doubled["held"] == Held("a", [2.0, (4.0, None)])
    assert isinstance(doubled["pair"], Pair)
    assert doubled["pair"] == (6.0, "text")
    assert doubled[7][0].to_list() == ragged.to_list()
    assert doubled[7][1] is variable
    assert doubled[7][2] == 5
    np.testing.assert_array_equal(structure["pair"].left, 3.0)


def test_a_map_of_variables_is_built_anew_in_its_order() -> None:
    variables = [tf.Variable(float(number)) for number in range(5)]
    values = VariableMap((variable, tf.constant(variable)) for variable in reversed(variables))
    tensors, build = take_apart({"values": values})
    assert [tensor.numpy() for tensor in tensors] == [4, 3, 2, 1, 0]
    built = build([10 * tensor for tensor in tensors])["values"]
    assert isinstance(built, VariableMap)
    assert [built[variable].numpy() for variable in variables] == [0, 10, 20, 30, 40]
    assert [float(variable.numpy()) for variable in built] == [4, 3, 2, 1, 0]
