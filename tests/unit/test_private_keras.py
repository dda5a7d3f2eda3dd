"""The private names of Keras that tfps/_keras/ uses are where it looks for them."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras.src.trainers.data_adapters import get_data_adapter

from tests.unit.private_names import check
from tfps import _keras

CORE = "keras.src.backend.tensorflow.core"
TRAINER = "keras.src.backend.tensorflow.trainer"
OPTIMIZER = "keras.src.optimizers.base_optimizer"
TF_OPTIMIZER = "keras.src.backend.tensorflow.optimizer"
SWAP = "keras.src.callbacks.swap_ema_weights"
BACKUP = "keras.src.callbacks.backup_and_restore"
NAMES = [
    (CORE, "Variable._initialize_with_initializer", ["self", "initializer"]),
    (CORE, "Variable._map_aggregation", ["self", "aggregation"]),
    (CORE, "Variable._map_synchronization", ["self", "synchronization"]),
    ("keras.src.backend.tensorflow.nn", "conv", None),
    ("keras.src.backend.tensorflow.numpy", "take", ["x", "indices", "axis"]),
    (CORE, "Variable._direct_assign", ["self", "value"]),
    (CORE, "Variable._deferred_initialize", ["self"]),
    (CORE, "Variable._initialize", ["self", "value"]),
    (CORE, "Variable._serialize_to_tensors", ["self"]),
    ("keras.src.layers.layer", "Layer._flatten_layers", ["self", "include_self", "recursive"]),
    (CORE, "Variable.handle", None),
    ("keras.src.trainers.trainer", "Trainer.compile", None),
    (OPTIMIZER, "BaseOptimizer.apply", ["self", "grads", "trainable_variables"]),
    (OPTIMIZER, "BaseOptimizer._check_variables_are_known", ["self", "variables"]),
    (
        "keras.src.optimizers.loss_scale_optimizer",
        "LossScaleOptimizer.apply",
        ["self", "grads", "trainable_variables"],
    ),
    (TF_OPTIMIZER, "TFOptimizer._var_key", ["self", "variable"]),
    (
        TF_OPTIMIZER,
        "TFOptimizer.add_variable_from_reference",
        ["self", "reference_variable", "name", "initializer"],
    ),
    (
        TF_OPTIMIZER,
        "TFOptimizer._backend_update_step",
        ["self", "grads", "trainable_variables", "learning_rate"],
    ),
    *(
        (module, f"{owner}.{name}", None)
        for module, owner in ((TF_OPTIMIZER, "TFOptimizer"), (OPTIMIZER, "BaseOptimizer"))
        for name in (
            "_apply_weight_decay",
            "_backend_increment_gradient_accumulators",
            "_backend_update_step",
            "_overwrite_model_variables_with_average_value",
        )
    ),
    *(
        ("keras.src.optimizers.loss_scale_optimizer", f"LossScaleOptimizer.{name}", None)
        for name in ("_tf_apply", "_common_apply")
    ),
    (SWAP, "SwapEMAWeights._tf_swap_variables", ["self", "optimizer"]),
    (SWAP, "SwapEMAWeights._tf_finalize_ema_values", ["self", "optimizer"]),
    ("keras.src.backend.common.stateless_scope", "in_stateless_scope", []),
    (TRAINER, "TensorFlowTrainer.fit", None),
    (TRAINER, "TensorFlowTrainer.evaluate", None),
    (TRAINER, "TensorFlowTrainer.predict", None),
    (TRAINER, "TensorFlowTrainer.train_on_batch", None),
    (TRAINER, "TensorFlowTrainer.test_on_batch", None),
    (TRAINER, "TensorFlowTrainer.predict_on_batch", None),
    (TRAINER, "TensorFlowTrainer.make_train_function", ["self", "force"]),
    (TRAINER, "TensorFlowTrainer.make_test_function", ["self", "force"]),
    (TRAINER, "TensorFlowTrainer.make_predict_function", ["self", "force"]),
    (TRAINER, "TensorFlowTrainer._maybe_symbolic_build", ["self", "iterator", "data_batch"]),
    (TRAINER, "TensorFlowTrainer._compute_loss", None),
    (TRAINER, "TensorFlowTrainer._should_eval", ["self", "epoch", "validation_freq"]),
    (TRAINER, "TensorFlowTrainer._flatten_metrics_in_order", ["self", "logs"]),
    (TRAINER, "TensorFlowTrainer._assert_compile_called", None),
    (TRAINER, "concat", ["tensors", "axis"]),
    (TRAINER, "potentially_ragged_concat", ["tensors"]),
    (TRAINER, "convert_to_np_if_not_ragged", ["x"]),
    ("keras.src.backend.common.stateless_scope", "get_stateless_scope", []),
    ("keras.src.backend", "compute_output_spec", None),
    (OPTIMIZER, "BaseOptimizer._clip_gradients", ["self", "grads"]),
    (OPTIMIZER, "BaseOptimizer._get_variable_index", ["self", "variable"]),
    (OPTIMIZER, "BaseOptimizer._use_weight_decay", None),
    (
        OPTIMIZER,
        "BaseOptimizer._filter_empty_gradients",
        ["self", "grads", "vars"],
    ),
    ("keras.src.trainers.data_adapters", "get_data_adapter", None),
    (BACKUP, "BackupAndRestore._save_model", ["self"]),
    ("keras.src.utils.python_utils", "pythonify_logs", ["logs"]),
    ("keras.src.trainers.data_adapters.array_slicing", "train_validation_split", None),
    ("keras.src.trainers.data_adapters.tf_dataset_adapter", "make_class_weight_map_fn", None),
    ("keras_hub.src.utils.pipeline_model", "PipelineModel.preprocess_samples", None),
]


@pytest.mark.parametrize(("module", "name", "parameters"), NAMES, ids=lambda value: str(value))
def test_a_private_function_is_where_it_was(
    module: str, name: str, parameters: list[str] | None
) -> None:
    check(module, name, parameters, used_by="tfps/_keras/")


def test_private_attributes_are_where_they_were() -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.1), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(), "mse")
    nadam = keras.optimizers.Nadam()
    nadam.build(model.trainable_variables)
    for owner, names in [
        (model, ["_distribute_strategy", "_initial_epoch", "_compile_loss", "_compile_metrics"]),
        (
            model.optimizer,
            ["_learning_rate", "_iterations", "_trainable_variables", "_distribution_strategy"],
        ),
        (model.variables[0], ["_value", "_shape", "_dtype", "_initializer"]),
        (model.variables[0].value, ["_unique_id"]),
        (nadam, ["_u_product"]),
    ]:
        for name in names:
            assert hasattr(owner, name), f"This Keras's {type(owner).__name__} has no {name}."
    averaged = keras.optimizers.SGD(use_ema=True)
    averaged.build(model.trainable_variables)
    assert len(averaged._model_variables_moving_average) == 2
    assert keras.callbacks.BackupAndRestore("folder")._current_epoch == 0
    adapter = get_data_adapter(np.zeros(3), np.ones(3), batch_size=2, shuffle="batch")
    assert [array.tolist() for array in adapter._inputs] == [[0.0] * 3, [1.0] * 3]
    assert adapter._shuffle == "batch"
    seeds = [v for v in model.variables if v.name == "seed_generator_state"]
    assert len(seeds) == 1
    metric = keras.metrics.Mean()
    assert {v.synchronization for v in metric.variables} == {"on_read"}


SLOTS = [
    (keras.optimizers.Adadelta(), 2),
    (keras.optimizers.Adagrad(), 1),
    (keras.optimizers.Adam(), 2),
    (keras.optimizers.Adam(amsgrad=True), 3),
    (keras.optimizers.AdamW(), 2),
    (keras.optimizers.Adamax(), 2),
    (keras.optimizers.Ftrl(), 2),
    (keras.optimizers.Lion(), 1),
    (keras.optimizers.Nadam(), 2),
    (keras.optimizers.RMSprop(), 1),
    (keras.optimizers.RMSprop(momentum=0.9, centered=True), 3),
    (keras.optimizers.ScheduleFreeAdamW(), 2),
    (keras.optimizers.SGD(), 0),
    (keras.optimizers.SGD(momentum=0.9), 1),
]


@pytest.mark.parametrize(("optimizer", "number"), SLOTS, ids=lambda value: type(value).__name__)
def test_the_slots_of_a_variable_are_in_the_lists_where_they_were(
    optimizer: keras.optimizers.Optimizer, number: int
) -> None:
    variables = [keras.Variable([1.0]), keras.Variable([2.0])]
    optimizer.build(variables)
    found = [_keras.slots(optimizer, variable) for variable in variables]
    assert [len(slots) for slots in found] == [number, number]
    own = [*_keras.shared_variables(optimizer), optimizer.iterations, optimizer.learning_rate]
    known = {id(v) for v in [*own, *found[0], *found[1]]}
    assert known == {id(v) for v in optimizer.variables}, "a list of slots is not in SLOTS"
