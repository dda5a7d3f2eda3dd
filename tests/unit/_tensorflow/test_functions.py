"""Functions that Python has dropped stay with the servers until they are removed on purpose."""

from __future__ import annotations

import gc

import tensorflow as tf
from tensorflow.python.eager import context

from tfps._tensorflow.functions import defer_removal_of_functions, remove_dropped_functions


def _registered(name: bytes) -> bool:
    return bool(context.context().has_function(name))


def _traced() -> tf.types.experimental.ConcreteFunction:
    return tf.function(lambda x: x + 1).get_concrete_function(tf.TensorSpec([]))


def test_a_dropped_function_is_removed_on_request_and_not_by_the_garbage_collector() -> None:
    defer_removal_of_functions()
    function = _traced()
    name = function.inference_fn.name
    del function
    gc.collect()
    assert _registered(name)
    remove_dropped_functions()
    assert not _registered(name)


def test_a_function_in_use_stays() -> None:
    defer_removal_of_functions()
    defer_removal_of_functions()  # a second strategy
    function = _traced()
    remove_dropped_functions()
    assert float(function(tf.constant(1.0))) == 2
