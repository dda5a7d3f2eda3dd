"""The private names of TensorFlow that tfps/_tensorflow/ uses are where it looks for them."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest
import tensorflow as tf

from tests.unit.private_names import check
from tfps._tensorflow import cpp_log

STRATEGY = "tensorflow.python.distribute.parameter_server_strategy_v2"
COORDINATOR = "tensorflow.python.distribute.coordinator.cluster_coordinator"
DISTRIBUTE = "tensorflow.python.distribute.distribute_lib"
SHARDED = "tensorflow.python.distribute.sharded_variable"
CHECKPOINT = "tensorflow.python.checkpoint.checkpoint"
FUNCTION = "tensorflow.python.eager.polymorphic_function.concrete_function"
DATA = "tensorflow.python.data.ops"
STRUCTURE = "tensorflow.python.data.util.structure"
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
    ("tensorflow.python.eager.context", "eager_mode", []),
    ("tensorflow", "__internal__.EagerTensor", None),
    ("tensorflow.python.ops.lookup_ops", "StaticHashTable._create_resource", ["self"]),
    ("tensorflow.python.ops.lookup_ops", "StaticHashTable._initialize", ["self"]),
    ("tensorflow.python.ops.lookup_ops", "MutableHashTable._create_resource", ["self"]),
    ("tensorflow.python.ops.lookup_ops", "DenseHashTable._create_resource", ["self"]),
    ("tensorflow.python.trackable.resource", "TrackableResource._resource_handle", None),
    (
        "tensorflow.python.eager.executor",
        "new_executor",
        ["enable_async", "enable_streaming_enqueue", "in_flight_nodes_limit"],
    ),
    ("tensorflow.python.eager.tape", "variable_accessed", ["variable"]),
    (
        FUNCTION,
        "ConcreteFunction.replace_capture_with_deferred_capture",
        ["self", "tensor", "closure", "spec", "placeholder", "default_value"],
    ),
    ("tensorflow.python.framework.func_graph", "FuncGraph.capture_call_time_value", None),
    ("tensorflow", "__internal__.FuncGraph", None),
    ("tensorflow.python.framework.func_graph", "FuncGraph.captures", None),
    ("tensorflow.python.framework.func_graph", "FuncGraph.capture", None),
    ("tensorflow.python.ops.control_flow_v2_func_graphs", "WhileBodyFuncGraph", None),
    ("tensorflow.python.ops.control_flow_v2_func_graphs", "WhileCondFuncGraph", None),
    (
        "tensorflow.python.eager.polymorphic_function.polymorphic_function",
        "Function.__call__",
        ["self", "args", "kwds"],
    ),
    (
        "tensorflow.python.eager.polymorphic_function.autograph_util",
        "py_func_from_autograph",
        ["python_func", "autograph_options"],
    ),
    ("tensorflow.python.autograph.core.ag_ctx", "ControlStatusCtx", ["status", "options"]),
    ("tensorflow", "__internal__.CompositeTensor", None),
    ("tensorflow", "__internal__.distribute.ShardedVariable._serialize_to_tensors", ["self"]),
    (
        "tensorflow",
        "__internal__.distribute.ShardedVariable._restore_from_tensors",
        ["self", "restored_tensors"],
    ),
    (
        "tensorflow",
        "__internal__.distribute.ShardedVariable._decompose_indexed_slices",
        ["self", "indexed_slices"],
    ),
    ("tensorflow", "__internal__.distribute.ShardedVariable._type_spec", None),
    (SHARDED, "ShardedVariableSpec._serialize", ["self"]),
    (SHARDED, "ShardedVariableSpec._from_components", ["self", "variables"]),
    (
        "tensorflow.python.framework.composite_tensor_gradient",
        "CompositeTensorGradientProtocol",
        None,
    ),
    (
        CHECKPOINT,
        "_CheckpointRestoreCoordinator.restore_saveables",
        ["self", "tensor_saveables", "python_positions", "registered_savers", "reader"],
    ),
    ("tensorflow.python.eager.context", "Context.remove_function", ["self", "name"]),
    (
        "tensorflow.python.eager.polymorphic_function.atomic_function",
        "RUNTIME_FUNCTION_REFS",
        None,
    ),
    (STRUCTURE, "to_tensor_list", ["element_spec", "element"]),
    (STRUCTURE, "from_compatible_tensor_list", ["element_spec", "tensor_list"]),
    (STRUCTURE, "get_flat_tensor_types", ["element_spec"]),
    (STRUCTURE, "get_flat_tensor_shapes", ["element_spec"]),
    (f"{DATA}.dataset_ops", "DatasetV2._inputs", ["self"]),
    (f"{DATA}.dataset_ops", "DatasetV2._variant_tensor", None),
    (f"{DATA}.dataset_ops", "_OptionsDataset", None),
    (f"{DATA}.prefetch_op", "_PrefetchDataset", None),
    (f"{DATA}.ragged_batch_op", "_DenseToRaggedDataset", None),
    ("tensorflow.python.eager.context", "Context.device_name", None),
]


def test_the_log_level_of_tensorflows_library_can_be_set() -> None:
    assert cpp_log._library() is not None, (
        "This release's libtensorflow_framework has no absl::SetMinLogLevel of the name that "
        "tfps/_tensorflow/cpp_log.py uses; nm -D --defined-only shows the names that it has."
    )


@pytest.mark.parametrize(("module", "name", "parameters"), NAMES, ids=lambda value: str(value))
def test_a_private_function_is_where_it_was(
    module: str, name: str, parameters: list[str] | None
) -> None:
    check(module, name, parameters, used_by="tfps/_tensorflow/")


@pytest.mark.parametrize(
    ("module", "name", "attributes"),
    [
        (COORDINATOR, "ClusterCoordinator", ["_cluster"]),
        (COORDINATOR, "Cluster", ["workers"]),
        (COORDINATOR, "Worker", ["device_name", "executor", "failure_handler"]),
        (STRATEGY, "ParameterServerStrategyV2", ["_cluster_resolver", "_num_workers", "_num_ps"]),
        (DISTRIBUTE, "StrategyBase", ["_extended", "_retrace_functions_for_each_device"]),
        (FUNCTION, "ConcreteFunction", ["_captured_inputs"]),
        ("tensorflow.python.data.ops.iterator_ops", "OwnedIterator", ["_iterator_resource"]),
        (
            "tensorflow.python.eager.polymorphic_function.polymorphic_function",
            "Function",
            [
                "_concrete_variable_creation_fn",
                "_function_cache",
                "_created_variables",
                "_variable_creation_config",
                "_no_variable_creation_config",
            ],
        ),
        (f"{DATA}.dataset_ops", "DatasetV2", ["_variant_tensor_attr"]),
        (f"{DATA}.dataset_ops", "DatasetV1Adapter", ["_dataset"]),
        (f"{DATA}.map_op", "_MapDataset", ["_map_func"]),
        (f"{DATA}.map_op", "_ParallelMapDataset", ["_map_func"]),
        (f"{DATA}.batch_op", "_BatchDataset", ["_batch_size", "_drop_remainder"]),
        (f"{DATA}.batch_op", "_ParallelBatchDataset", ["_batch_size", "_drop_remainder"]),
        (
            f"{DATA}.padded_batch_op",
            "_PaddedBatchDataset",
            ["_batch_size", "_drop_remainder", "_padded_shapes", "_padding_values"],
        ),
        (f"{DATA}.take_op", "_TakeDataset", ["_count"]),
        (f"{DATA}.skip_op", "_SkipDataset", ["_count"]),
        (f"{DATA}.repeat_op", "_RepeatDataset", ["_count"]),
        (f"{DATA}.shard_op", "_ShardDataset", ["_num_shards", "_index"]),
        (f"{DATA}.shuffle_op", "_ShuffleDataset", ["_buffer_size", "_reshuffle_each_iteration"]),
        (f"{DATA}.zip_op", "_ZipDataset", ["_datasets"]),
        (
            CHECKPOINT,
            "_CheckpointRestoreCoordinator",
            ["object_graph_proto", "object_by_proto_id", "shape_map"],
        ),
    ],
)
def test_a_private_attribute_is_where_it_was(module: str, name: str, attributes: list[str]) -> None:
    source = inspect.getsource(getattr(importlib.import_module(module), name))
    for attribute in attributes:
        assert re.search(rf"\.{attribute} = |def {attribute}\(self\)", source), (
            f"This release's {module}.{name} has no {attribute}, which tfps/_tensorflow/ uses; its "
            "table there says what for."
        )


def test_a_shuffled_dataset_has_the_seeds_that_its_op_gets() -> None:
    tf.random.set_seed(3)
    shuffled = tf.data.Dataset.range(3).shuffle(3, seed=5)
    assert (shuffled._seed.numpy(), shuffled._seed2.numpy()) == (3, 5)


def test_a_tf_function_has_its_python_function_and_whether_autograph_converts_it() -> None:
    function = tf.function(len, autograph=False)
    assert (function._python_function, function._autograph) == (len, False)
    assert function._jit_compile is None
    assert tf.function(len, jit_compile=True)._jit_compile
