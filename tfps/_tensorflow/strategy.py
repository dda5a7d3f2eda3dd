"""TensorFlow's strategy and the variables of its scope, with hooks in place of private methods."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.distribute.parameter_server_strategy_v2 import (
    ParameterServerStrategyV2Extended,
)

from tfps._tensorflow.before import explain_old_datasets, keep_what_was_made
from tfps._tensorflow.checkpoints import check_shapes_before_restoring
from tfps._tensorflow.functions import defer_removal_of_functions
from tfps._tensorflow.sharded import ShardedVariable

_connected: list[dict[str, Any]] = []  # the cluster of this process; empty until it is connected


@contextlib.contextmanager
def _ps_that_see_ps() -> Iterator[None]:
    """Let each ps see the others; TensorFlow's strategy shows a ps only the workers and the chief.

    A ps that updates a variable whole reads and writes what others hold of it.
    """
    filters = tf.config.experimental.ClusterDeviceFilters
    original = filters.set_device_filters

    def set_device_filters(self: Any, job: str, task: int, devices: list[str]) -> None:
        original(self, job, task, [*devices, "/job:ps"] if job == "ps" else devices)

    filters.set_device_filters = set_device_filters
    try:
        yield
    finally:
        filters.set_device_filters = original


class VariableCreation(ParameterServerStrategyV2Extended):
    """TensorFlow's creation of variables on parameter servers, for subclasses to change."""

    def __init__(
        self, strategy: Any, resolver: Any, partitioner: Callable[..., Any] | None
    ) -> None:
        super().__init__(strategy, resolver, partitioner)
        # TensorFlow's strategy sets this on the extended object that it creates itself.
        self._retrace_functions_for_each_device = len(self.worker_devices) > 1

    def create_variable(self, next_creator: Callable[..., Any], **kwargs: Any) -> Any:
        """Create a variable: whole, or in as many shards as the partitioner says."""
        created = super()._create_variable(next_creator, **kwargs)
        if isinstance(created, tf.__internal__.distribute.ShardedVariable):
            return ShardedVariable(created.variables, name=kwargs.get("name") or "Variable")
        return created

    @abc.abstractmethod
    def place_variable(self, next_creator: Callable[..., Any], **kwargs: Any) -> Any:
        """Create a whole variable or a shard on a ps of this method's choice."""

    def _create_variable(self, next_creator: Callable[..., Any], **kwargs: Any) -> Any:
        return self.create_variable(next_creator, **kwargs)

    def _create_variable_round_robin(self, next_creator: Callable[..., Any], **kwargs: Any) -> Any:
        return self.place_variable(next_creator, **kwargs)

    def _resource_creator_scope(self) -> list[Any]:
        """Leave lookup tables alone: a dataset copies its tables to the worker itself.

        TensorFlow's strategy creates a table of its scope once per worker, and a tf.data function
        cannot use such a table inside of a condition.
        """
        return []


class Strategy(tf.distribute.ParameterServerStrategy):
    """TensorFlow's strategy, with one connection per process and its own way to create variables.

    All strategies of a process share its cluster.
    """

    def __init__(
        self,
        resolver: tf.distribute.cluster_resolver.ClusterResolver,
        partitioner: Callable[..., Any] | None,
        creation: Callable[..., VariableCreation],
    ) -> None:
        """Connect to the cluster.

        Args:
            resolver: says who takes part.
            partitioner: TensorFlow's variable_partitioner.
            creation: a function of (strategy, resolver, partitioner) that returns how the variables
                of the strategy's scope are created.
        """
        super().__init__(resolver, partitioner)
        self._extended = creation(self, resolver, partitioner)

    def _connect_to_cluster(self, coordinator_name: str) -> None:
        """Connect this process to the cluster, once: a second time would lose all variables."""
        spec = self._cluster_resolver.cluster_spec().as_dict()
        if _connected == [spec]:
            self._num_workers, self._num_ps = len(spec["worker"]), len(spec["ps"])
            return
        make_again = keep_what_was_made()
        defer_removal_of_functions()
        check_shapes_before_restoring()
        with _ps_that_see_ps():
            super()._connect_to_cluster(coordinator_name)
        make_again()
        explain_old_datasets()
        _connected[:] = [spec]
