"""Every private name of TensorFlow that tfps uses; no other part of tfps uses one.

tests/unit/test_private_tensorflow.py fails, naming the row, when a release moves one of them.

| name | why |
| --- | --- |
| `ParameterServerStrategyV2Extended._create_variable`, `_create_variable_round_robin` | TensorFlow's strategy places variables here; tfps balances bytes instead |
| `ParameterServerStrategyV2Extended._resource_creator_scope` | in its scope TensorFlow creates lookup tables that a tf.data function cannot use |
| `StrategyBase._extended`, `StrategyExtendedV2._retrace_functions_for_each_device` | TensorFlow's strategy creates its extended object itself; tfps replaces it |
| `BaseResourceVariable` with its handle among its attributes, `lookup_ops.StaticHashTable`, `MutableHashTable`, `DenseHashTable`, `TrackableResource._create_resource`, `_initialize`, `_resource_handle`, `tf.__internal__.EagerTensor`, `OwnedIterator._iterator_resource`, `polymorphic_function.Function._function_cache`, `_created_variables`, `_concrete_variable_creation_fn`, `_variable_creation_config`, `_no_variable_creation_config` | the connection replaces the device on which variables, tables, iterators and traces lie that were made before |
| `ParameterServerStrategyV2._connect_to_cluster`, `_cluster_resolver`, `_num_workers`, `_num_ps` | a second strategy of one process must not connect again |
| `tf.__internal__.distribute.ShardedVariable`, its `_serialize_to_tensors` and `_restore_from_tensors` | a checkpoint has the whole value, so that it restores into any number of shards |
| `ShardedVariable._decompose_indexed_slices` | TensorFlow's takes no indices in a list, as Keras's optimizers may give |
| `ShardedVariable._type_spec`, `distribute.sharded_variable.ShardedVariableSpec`, its `_serialize` and `_from_components` | a split variable that is passed to a tf.function stays one of tfps |
| `CompositeTensor.__composite_gradient__` | a tape differentiates by a split variable |
| `checkpoint.checkpoint._CheckpointRestoreCoordinator.restore_saveables`, `object_graph_proto`, `object_by_proto_id`, `shape_map` | TensorFlow restores a checkpoint of other shapes where variables lie on several tasks |
| `ClusterCoordinator._cluster.workers` (`executor`, `device_name`, `failure_handler.wait_on_failure`) | to run a function on a given worker, with the coordinator's own handling of failures |
| `eager.context.executor_scope` | the same |
| `eager.context.eager_mode` | eager steps of a model run on the chief, outside of the scope in which `fit` is called |
| `eager.executor.new_executor` | a call to a ps that takes long must not delay the calls of other threads |
| `ConcreteFunction._captured_inputs`, `replace_capture_with_deferred_capture`, `FuncGraph.capture_call_time_value` | each worker gets its own copy, once, of the tensors that a function captures |
| `tf.__internal__.FuncGraph` | a step is traced to find out which variables it uses; the graph is never run |
| `FuncGraph.outer_graph`, `inputs`, `outputs`, `captures`, `capture` | a step may read and write variables in the graphs of branches and loops |
| `control_flow_v2_func_graphs.WhileBodyFuncGraph`, `WhileCondFuncGraph` | what a loop does is done several times |
| `polymorphic_function.Function.__call__`, `_python_function`, `_autograph`, `_jit_compile`, `autograph_util.py_func_from_autograph`, `ag_ctx.ControlStatusCtx` | a step traces its tf.functions with it: their own traces hold the values of an earlier trace |
| `tf.__internal__.CompositeTensor` | the components of ragged and sparse tensors are sent like other tensors |
| `eager.tape.variable_accessed` | makes the active tapes watch a tensor that was pulled for a variable |
| `data.ops.dataset_ops.Dataset._inputs`, `DatasetV1Adapter._dataset`, `_OptionsDataset`, `prefetch_op._PrefetchDataset`, `map_op._MapDataset`, `_ParallelMapDataset`, `_map_func`, `batch_op._BatchDataset`, `_ParallelBatchDataset`, `padded_batch_op._PaddedBatchDataset`, `ragged_batch_op._DenseToRaggedDataset`, `_batch_size`, `_drop_remainder`, `_padded_shapes`, `_padding_values`, `take_op._TakeDataset`, `skip_op._SkipDataset`, `repeat_op._RepeatDataset`, `_count`, `shard_op._ShardDataset`, `_num_shards`, `_index`, `shuffle_op._ShuffleDataset`, `_buffer_size`, `_seed`, `_seed2`, `_reshuffle_each_iteration`, `zip_op._ZipDataset`, `_datasets` | what a `tf.data.Dataset` is made of: the chief runs some transformations, the workers the maps |
| `data.util.structure.to_tensor_list`, `from_compatible_tensor_list`, `get_flat_tensor_types`, `get_flat_tensor_shapes` | the function of a map is called again, on other elements of the same type |
| `Dataset._variant_tensor`, `_variant_tensor_attr`, `eager.context.Context.device_name` | a dataset of the chief that a data function uses is copied to the worker that calls the function |
| `eager.context.Context.remove_function`, `atomic_function.RUNTIME_FUNCTION_REFS` | functions that Python has dropped are removed when no worker runs one, not by the garbage collector |
| `absl::SetMinLogLevel`, `absl::MinLogLevel` of `libtensorflow_framework.so.2` | TensorFlow reads TF_CPP_MIN_LOG_LEVEL only when it is imported; a script may import it before tfps |
"""  # noqa: E501

from __future__ import annotations

from tfps._tensorflow.before import is_lost
from tfps._tensorflow.cpp_log import find_devices, set_log_level
from tfps._tensorflow.functions import (
    FuncGraph,
    capture_at_call,
    captures,
    inline_functions,
    is_composite,
    remove_dropped_functions,
    replace_capture,
)
from tfps._tensorflow.graphs import in_current_graph, is_loop, passed_in, watched
from tfps._tensorflow.sharded import ShardedVariable
from tfps._tensorflow.strategy import Strategy, VariableCreation
from tfps._tensorflow.workers import (
    new_stream,
    on_own_stream,
    on_worker,
    outside_of_scopes,
    workers,
)

__all__ = [
    "FuncGraph",
    "ShardedVariable",
    "Strategy",
    "VariableCreation",
    "capture_at_call",
    "captures",
    "find_devices",
    "in_current_graph",
    "inline_functions",
    "is_composite",
    "is_loop",
    "is_lost",
    "new_stream",
    "on_own_stream",
    "on_worker",
    "outside_of_scopes",
    "passed_in",
    "remove_dropped_functions",
    "replace_capture",
    "set_log_level",
    "watched",
    "workers",
]
