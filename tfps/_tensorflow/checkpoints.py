"""Restoring tf.train.Checkpoints."""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf
from tensorflow.python.checkpoint.checkpoint import _CheckpointRestoreCoordinator

from tfps._tensorflow.sharded import VALUE


def check_shapes_before_restoring() -> None:
    """Let a checkpoint of other shapes be refused before anything is restored.

    TensorFlow compares shapes in one process only. If variables lie on several tasks, it would give
    them the values of the checkpoint, whatever their shapes.
    """
    _CheckpointRestoreCoordinator.restore_saveables = _restore_saveables


_original = _CheckpointRestoreCoordinator.restore_saveables


@functools.wraps(_original)
def _restore_saveables(coordinator: Any, tensor_saveables: Any, *args: Any, **kwargs: Any) -> Any:
    _check_shapes(coordinator)
    return _original(coordinator, tensor_saveables, *args, **kwargs)


def _check_shapes(coordinator: Any) -> None:
    nodes, stored = coordinator.object_graph_proto.nodes, coordinator.shape_map
    for index, variable in dict(coordinator.object_by_proto_id).items():
        if not tf.is_tensor(variable):
            continue
        for attribute in nodes[index].attributes:
            shape = stored.get(attribute.checkpoint_key)
            if shape is None or attribute.name != VALUE:
                continue
            if not tf.TensorShape(variable.shape).is_compatible_with(shape):
                name = getattr(variable, "path", variable.name)
                raise ValueError(
                    f"Received incompatible tensor with shape {tuple(shape)} when attempting to "
                    f"restore variable with shape {tuple(variable.shape)} and name {name}. Build "
                    "the model as it was when it was saved."
                )
