"""Every private name of Keras that tfps uses; no other part of tfps uses one.

tests/unit/test_private_keras.py fails, naming the row, when a Keras release moves one of them.

| name | why |
| --- | --- |
| `backend.tensorflow.core.Variable._initialize_with_initializer`, `_value`, `_shape`, `_dtype`, `_map_aggregation`, `_map_synchronization`, `_initialize` | Keras gives tf.Variable a lambda that hides the shape, so that a partitioner could only slice a value made whole on the chief |
| `backend.tensorflow.core.Variable._deferred_initialize`, `_initializer`, `_serialize_to_tensors` | `tf.train.Checkpoint.restore` may wait for variables that a model creates when it is first called |
| `backend.tensorflow.core.Variable._direct_assign` | frozen parameters that the chief assigns are pulled again |
| `backend.tensorflow.core.Variable.handle` | a tape's gradient by a variable is the gradient by this |
| `backend.tensorflow.numpy.take` | every embedding lookup ends here; for a table on a ps it would pull the whole table |
| `backend.tensorflow.nn.conv` | XLA compiles some convolutions, and cannot read a kernel on a ps |
| `backend.common.stateless_scope.get_stateless_scope`, `in_stateless_scope` | in which scope a `take`, a gradient or an update happens |
| `Layer._flatten_layers` | while a model runs eagerly on the chief, so do the models inside of it |
| the name `seed_generator_state` of a SeedGenerator's variable | seeds are local to a worker |
| `trainers.trainer.Trainer.compile`, `backend.tensorflow.trainer.TensorFlowTrainer.fit`, `evaluate`, `predict`, `train_on_batch`, `test_on_batch`, `predict_on_batch`, `make_train_function`, `make_test_function`, `make_predict_function`, `train_function`, `test_function`, `predict_function`, `_distribute_strategy`, `Model.quantize` | Keras's training loop does not know parameter servers; a model remembers the strategy of its scope |
| `TensorFlowTrainer._maybe_symbolic_build` | Keras's `train_on_batch` and `test_on_batch` build a model by this; tfps does it itself |
| `TensorFlowTrainer._initial_epoch`, `_should_eval`, `_flatten_metrics_in_order`, `_assert_compile_called` | Keras's own fit and evaluate call these |
| `TensorFlowTrainer._compute_loss`, `_compile_loss`, `_compile_metrics`, `backend.compute_output_spec` | builds a model, its loss and its metrics from the type of a batch |
| `backend.tensorflow.trainer.concat`, `potentially_ragged_concat`, `convert_to_np_if_not_ragged` | `predict` concatenates its outputs by these |
| `utils.python_utils.pythonify_logs` | logs are what Keras makes of them |
| `trainers.data_adapters.get_data_adapter`, `array_data_adapter.ArrayDataAdapter._inputs`, `_shuffle` | reads what tfps does not read itself, such as generators, as Keras does |
| `BackupAndRestore._save_model`, `_current_epoch` | it also saves where the data is, and is told the epoch that fit begins with |
| `trainers.data_adapters.array_slicing.train_validation_split`, `tf_dataset_adapter.make_class_weight_map_fn` | `validation_split` and `class_weight` with Keras's meaning |
| `keras_hub.src.utils.pipeline_model.PipelineModel`, its `fit`, `evaluate`, `predict` and `preprocess_samples` | keras-nlp's tasks map their preprocessor over the data before Keras sees it |
| `BaseOptimizer.apply`, `LossScaleOptimizer.apply`, `TFOptimizer.add_variable_from_reference` | what a `train_step` updates is pushed to the ps instead |
| `backend.tensorflow.optimizer.TFOptimizer._var_key`, `tf.Variable._unique_id` | an optimizer finds a variable's slots by these, from the variable's value; in a step that value is a tensor, and on a ps a view |
| `TFOptimizer._apply_weight_decay`, `_backend_increment_gradient_accumulators`, `_backend_update_step`, `_overwrite_model_variables_with_average_value`, the same of `BaseOptimizer`, `LossScaleOptimizer._tf_apply`, `_common_apply` | an optimizer that the chief itself applies in the scope, where tf.distribute has no replica |
| `BaseOptimizer._filter_empty_gradients`, `_clip_gradients`, `_use_weight_decay`, `_learning_rate`, `_iterations`, `_trainable_variables`, `_model_variables_moving_average`, `_check_variables_are_known`, `TFOptimizer._backend_update_step` | the parts of `BaseOptimizer.apply` that run on the worker and on the ps instead |
| `BaseOptimizer._get_variable_index`, the lists in `optimizers.SLOTS`, `Nadam._u_product` | what an update in one op reads and writes |
| `SwapEMAWeights._tf_swap_variables`, `_tf_finalize_ema_values`, `TFOptimizer._distribution_strategy` | the callback updates variables that may be sharded |
"""  # noqa: E501

from __future__ import annotations

from tfps._keras.backup import begin_at, save_with
from tfps._keras.install import TESTED_VERSIONS, in_step, install, warn_of_untested_versions
from tfps._keras.interface import Hooks, KerasStrategy, StepScope
from tfps._keras.models import (
    FUNCTIONS,
    arrays_of,
    build,
    check_compiled,
    concatenate,
    data_adapter,
    first_epoch,
    joined,
    make_class_weight_map_fn,
    ordered_metrics,
    overrides_function,
    plain_logs,
    should_evaluate,
    train_validation_split,
)
from tfps._keras.on_chief import is_on_chief
from tfps._keras.optimizers import (
    StandIn,
    changed_by,
    clip_gradients,
    counters,
    decay,
    decays,
    global_step_variable,
    has_shared_update,
    learning_rate_variable,
    moving_averages,
    optimized_variables,
    shared_variables,
    slots,
    update_shared,
    with_gradients,
    without_wrappers,
)
from tfps._keras.variables import assignments, is_seed_state, native, note_assignments

__all__ = [
    "FUNCTIONS",
    "TESTED_VERSIONS",
    "Hooks",
    "KerasStrategy",
    "StandIn",
    "StepScope",
    "arrays_of",
    "assignments",
    "begin_at",
    "build",
    "changed_by",
    "check_compiled",
    "clip_gradients",
    "concatenate",
    "counters",
    "data_adapter",
    "decay",
    "decays",
    "first_epoch",
    "global_step_variable",
    "has_shared_update",
    "in_step",
    "install",
    "is_on_chief",
    "is_seed_state",
    "joined",
    "learning_rate_variable",
    "make_class_weight_map_fn",
    "moving_averages",
    "native",
    "note_assignments",
    "optimized_variables",
    "ordered_metrics",
    "overrides_function",
    "plain_logs",
    "save_with",
    "shared_variables",
    "should_evaluate",
    "slots",
    "train_validation_split",
    "update_shared",
    "warn_of_untested_versions",
    "with_gradients",
    "without_wrappers",
]
