"""Variables of a worker that stand for parameters while a step runs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfps.params.variable_map import VariableMap
from tfps.worker.step_variables import StepVariables


def test_what_is_assigned_is_read_and_what_was_pulled_stays_known() -> None:
    weight = keras.Variable(np.zeros(2), dtype="float32")
    held = StepVariables([weight])

    @tf.function
    def step() -> Any:
        held.prepare()
        held.load(VariableMap([(weight, tf.constant([1.0, 2.0]))]))
        before = held.is_assigned(weight)
        held.assign(weight, tf.constant([3.0, 4.0]))
        return held.read(weight), held.base(weight), before, held.is_assigned(weight)

    now, base, before, after = step()
    assert (now.numpy().tolist(), base.numpy().tolist()) == ([3.0, 4.0], [1.0, 2.0])
    assert (bool(before), bool(after)) == (False, True)


class Held(keras.layers.Layer):
    """Assigns its input to its weight, and reads that, in mixed precision."""

    def __init__(self) -> None:
        super().__init__(dtype="mixed_bfloat16")
        self.weight = self.add_weight(shape=(2,))
        self.held = StepVariables([self.weight])

    def call(self, x: Any) -> Any:
        assert self.weight.dtype == "bfloat16"
        self.held.assign(self.weight, x)
        return self.held.read(self.weight)


def test_in_mixed_precision_a_variable_keeps_its_own_dtype() -> None:
    layer = Held()

    @tf.function
    def step() -> Any:
        layer.held.prepare()
        return layer(tf.constant([1.0, 2.0]))

    value = step()
    assert value.dtype == tf.float32
    assert value.numpy().tolist() == [1.0, 2.0]
