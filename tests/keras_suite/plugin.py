"""A pytest plugin that runs Keras's own tests in the scope of a strategy.

TFPS_KERAS_SUITE_SHARDS is the number of shards of each variable; 0 is plain Keras, without a
strategy.
"""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import functools
import sys
import types
from typing import Any

import keras
import pytest
import tensorflow as tf
from keras.src.testing import TestCase

import tfps
from tests.keras_suite import absent, expected

SHARDS = int(os.environ.get("TFPS_KERAS_SUITE_SHARDS", "1"))

_plain_set_up, _plain_tear_down = TestCase.setUp, TestCase.tearDown


def pytest_configure() -> None:
    absent.install()
    sys.modules["conftest"] = _conftest()
    if SHARDS:
        strategy()  # connects to the cluster before a test makes variables
        TestCase.setUp, TestCase.tearDown = _set_up, _tear_down


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    failures = expected.read(expected.PAGE.read_text())
    for item in items:
        for failure in failures:
            if failure.concerns(item.nodeid, SHARDS):
                item.add_marker(_mark(failure))


def _mark(failure: expected.Failure) -> pytest.MarkDecorator:
    if failure.result == "not run":
        return pytest.mark.skip(reason=failure.reason)
    return pytest.mark.xfail(reason=failure.reason, strict=failure.result == "fails")


def _conftest() -> types.ModuleType:
    """Return what Keras's tests import of its conftest.py, which is not in the wheel."""
    module: Any = types.ModuleType("conftest")
    module.skip_if_backend = lambda backend, reason: pytest.mark.skipif(
        backend == keras.backend.backend(), reason=reason
    )
    return module


@functools.cache
def strategy() -> tfps.ParameterServerStrategy:
    partitioner: Any = tf.distribute.experimental.partitioners.FixedShardsPartitioner(SHARDS)
    return tfps.ParameterServerStrategy(variable_partitioner=partitioner if SHARDS > 1 else None)


def _set_up(test: Any) -> None:
    _plain_set_up(test)
    test.tfps_scope = strategy().scope()
    test.tfps_scope.__enter__()


def _tear_down(test: Any) -> None:
    graph_changed = not tf.distribute.has_strategy()  # Keras's clear_session ends all scopes
    if not graph_changed:
        test.tfps_scope.__exit__(None, None, None)
    _plain_tear_down(test)
