"""The embedded cluster that the tests of training share: a process has only one."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf

import tfps
from tests.cluster.processes import Processes, processes
from tfps.cluster.embedded import embedded_cluster

NUM_PS, NUM_WORKERS = 2, int(os.environ.get("TFPS_TEST_WORKERS", "2"))

MakeStrategy = Callable[..., tfps.ParameterServerStrategy]


@pytest.fixture(scope="session")
def _cluster() -> None:
    embedded_cluster(num_ps=NUM_PS, num_workers=NUM_WORKERS)


@pytest.fixture(scope="session")
def make_strategy(_cluster: None) -> MakeStrategy:
    """Make a strategy on 2 workers and 2 ps, whose variables are split into `shards`.

    Tests that ask for the same share one: each has threads of its own. The first connects this
    process to the cluster, before a test makes variables.
    """

    @functools.cache
    def make(shards: int = 1, **arguments: Any) -> tfps.ParameterServerStrategy:
        partitioner: Any = tf.distribute.experimental.partitioners.FixedShardsPartitioner(shards)
        return tfps.ParameterServerStrategy(variable_partitioner=partitioner, **arguments)

    make()
    return make


@pytest.fixture
def strategy(make_strategy: MakeStrategy) -> tfps.ParameterServerStrategy:
    return make_strategy()


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Processes]:
    """The processes that a test starts; none is left after it."""
    with processes(tmp_path) as started:
        yield started


@pytest.fixture(autouse=True)
def _fixed_seed() -> Iterator[None]:
    keras.utils.set_random_seed(1)
    yield
    keras.config.set_dtype_policy("float32")
