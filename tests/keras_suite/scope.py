"""The scope that each test of Keras's TestCase runs in, and what its test files import."""

from __future__ import annotations

import sys
import types
from typing import Any

import keras
import pytest
import tensorflow as tf
from keras.src.testing import TestCase

import tfps
from tests.keras_suite import absent
from tfps.cluster.embedded import embedded_cluster


def prepare(shards: int, workers: int) -> None:
    """Let Keras's tests be collected, and let them run in the scope of a strategy.

    Args:
        shards: the number of shards of each variable; 0 for no strategy.
        workers: the number of workers.
    """
    absent.install()
    sys.modules["conftest"] = _conftest()
    if shards:
        embedded_cluster(num_ps=2, num_workers=workers)
        partitioner: Any = tf.distribute.experimental.partitioners.FixedShardsPartitioner(shards)
        # Made once: it connects to the cluster, which has to come before any variable.
        _enter_in_tests(
            tfps.ParameterServerStrategy(variable_partitioner=partitioner if shards > 1 else None)
        )


def _enter_in_tests(strategy: tfps.ParameterServerStrategy) -> None:
    set_up, tear_down = TestCase.setUp, TestCase.tearDown

    def set_up_in_scope(test: Any) -> None:
        set_up(test)
        test.tfps_scope = strategy.scope()
        test.tfps_scope.__enter__()

    def tear_down_in_scope(test: Any) -> None:
        if tf.distribute.has_strategy():  # Keras's clear_session ends all scopes
            test.tfps_scope.__exit__(None, None, None)
        tear_down(test)

    TestCase.setUp, TestCase.tearDown = set_up_in_scope, tear_down_in_scope


def _conftest() -> types.ModuleType:
    """Return what Keras's tests import of its conftest.py, which is not in the wheel."""
    module: Any = types.ModuleType("conftest")
    module.skip_if_backend = lambda backend, reason: pytest.mark.skipif(
        backend == keras.backend.backend(), reason=reason
    )
    return module
