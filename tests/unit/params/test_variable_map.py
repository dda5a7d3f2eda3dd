"""Mappings and sets keyed by variables."""

from __future__ import annotations

import gc

import keras
import pytest
import tensorflow as tf

from tfps.params.variable_map import VariableMap, VariableSet


@pytest.fixture
def kernel() -> keras.Variable:
    with keras.name_scope("dense"):
        return keras.Variable([1.0, 2.0], name="kernel")


def test_variables_of_both_kinds_are_keys_by_identity(kernel: keras.Variable) -> None:
    equal = keras.Variable([1.0, 2.0], name="kernel")
    native = kernel.value
    numbers = VariableMap([(kernel, 1), (equal, 2), (native, 3)])
    assert [numbers[kernel], numbers[equal], numbers[native]] == [1, 2, 3]
    assert kernel in numbers
    assert keras.Variable([1.0, 2.0]) not in numbers
    numbers[kernel] = 4
    del numbers[equal]
    assert [(variable is kernel, number) for variable, number in numbers.items()] == [
        (True, 4),
        (False, 3),
    ]
    assert len(numbers) == 2


def test_order_is_that_of_the_first_assignment() -> None:
    variables = [tf.Variable(float(number)) for number in range(20)]
    numbers = VariableMap((variable, index) for index, variable in enumerate(variables))
    numbers[variables[3]] = 30
    assert list(numbers.values()) == [*range(3), 30, *range(4, 20)]
    assert [a is b for a, b in zip(numbers, variables, strict=True)] == [True] * 20


def test_maps_are_merged_into_a_new_one_whose_last_value_counts(kernel: keras.Variable) -> None:
    bias = keras.Variable(0.0)
    first = VariableMap([(kernel, "a"), (bias, "b")])
    merged = first | VariableMap([(kernel, "c")])
    assert list(merged.values()) == ["c", "b"]
    assert first[kernel] == "a"


def test_a_variable_that_is_missing_is_named_by_its_path(kernel: keras.Variable) -> None:
    numbers: VariableMap[int] = VariableMap()
    with pytest.raises(KeyError, match="dense/kernel"):
        numbers[kernel]
    with pytest.raises(KeyError, match="dense/kernel"):
        del numbers[kernel]
    with pytest.raises(KeyError, match="weights"):
        numbers[tf.Variable(0.0, name="weights")]
    assert numbers.get(kernel) is None
    numbers[kernel] = 5
    assert repr(numbers) == "VariableMap({'dense/kernel': 5})"


def test_maps_of_tensors_are_equal_only_to_themselves(kernel: keras.Variable) -> None:
    values = VariableMap([(kernel, tf.ones([2]))])
    assert values == values
    assert values != VariableMap(values)
    assert len({values, VariableMap(values)}) == 2


def test_a_map_keeps_its_variables_so_that_no_other_can_take_their_identity() -> None:
    numbers = VariableMap([(tf.Variable(float(number)), number) for number in range(5)])
    gc.collect()
    others = [tf.Variable(0.0) for _ in range(20)]
    assert not any(other in numbers for other in others)
    assert [float(variable.numpy()) for variable in numbers] == [0, 1, 2, 3, 4]


def test_a_set_holds_each_variable_once_in_order(kernel: keras.Variable) -> None:
    bias, scale = keras.Variable(0.0, name="bias"), keras.Variable(1.0, name="scale")
    variables = VariableSet([kernel, bias, kernel])
    variables.add(scale)
    variables.add(bias)
    assert [variable.name for variable in variables] == ["kernel", "bias", "scale"]
    variables.discard(kernel)
    assert kernel not in variables
    assert bias in variables
    assert repr(variables) == "VariableSet(['bias', 'scale'])"
    assert len(variables | VariableSet([kernel])) == 3
