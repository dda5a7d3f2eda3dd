"""The private names of TensorFlow that tfps/_tensorflow.py uses are where it looks for them."""

from __future__ import annotations

import importlib
import inspect

import pytest

from tests.unit.private_names import check

STRATEGY = "tensorflow.python.distribute.parameter_server_strategy_v2"
COORDINATOR = "tensorflow.python.distribute.coordinator.cluster_coordinator"
NAMES = [
    (STRATEGY, "ParameterServerStrategyV2._connect_to_cluster", ["self", "coordinator_name"]),
    (STRATEGY, "ParameterServerStrategyV2Extended._create_variable", None),
    (STRATEGY, "ParameterServerStrategyV2Extended._create_variable_round_robin", None),
    (STRATEGY, "ParameterServerStrategyV2Extended._resource_creator_scope", ["self"]),
    (COORDINATOR, "Worker.__init__", ["self", "worker_index", "device_name", "cluster"]),
    (
        COORDINATOR,
        "WorkerPreemptionHandler.wait_on_failure",
        [
            "self",
            "on_failure_fn",
            "on_transient_failure_fn",
            "on_recovery_fn",
            "worker_device_name",
        ],
    ),
    ("tensorflow.python.eager.context", "executor_scope", ["e"]),
    (
        "tensorflow.python.eager.executor",
        "new_executor",
        ["enable_async", "enable_streaming_enqueue", "in_flight_nodes_limit"],
    ),
    ("tensorflow.python.eager.tape", "variable_accessed", ["variable"]),
    (
        "tensorflow.python.eager.polymorphic_function.concrete_function",
        "ConcreteFunction.replace_capture_with_deferred_capture",
        ["self", "tensor", "closure", "spec", "placeholder", "default_value"],
    ),
    ("tensorflow.python.framework.func_graph", "FuncGraph.capture_call_time_value", None),
    ("tensorflow.python.eager.context", "Context.remove_function", ["self", "name"]),
]


@pytest.mark.parametrize(("module", "name", "parameters"), NAMES, ids=lambda value: str(value))
def test_a_private_function_is_where_it_was(
    module: str, name: str, parameters: list[str] | None
) -> None:
    check(module, name, parameters, used_by="tfps/_tensorflow.py")


def test_a_coordinators_worker_holds_what_a_lane_needs() -> None:
    source = inspect.getsource(importlib.import_module(COORDINATOR).Worker.__init__)
    for name in ("device_name", "executor", "failure_handler"):
        assert f"self.{name} = " in source
