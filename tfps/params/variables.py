"""How the variables of a strategy's scope come to lie where they lie."""

from __future__ import annotations

import contextlib
import math
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfps._tensorflow import ParameterServerStrategyV2Extended
from tfps.params.placement import CHIEF_DEVICE, ByteBalance, ps_device

_VALUE = "VARIABLE_VALUE"  # TensorFlow's name for the value in a checkpoint


class ShardedVariable(tf.__internal__.distribute.ShardedVariable):
    """TensorFlow's variable over several shards, which NumPy, and so Keras's saving, can read."""

    @property
    def handle(self) -> Any:
        """What TensorFlow's tape asks a variable for; a sharded one has none.

        Raises:
            AttributeError: always, with what to do.
        """
        raise AttributeError(
            f"Variable {self.name!r} lies in {len(self.variables)} shards, and a tape cannot "
            "differentiate by it as a whole. Train it by model.fit or strategy.loop, or make the "
            "strategy without a variable_partitioner for a loop of coordinator.schedule."
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.numpy(), dtype=dtype)

    def _serialize_to_tensors(self) -> dict[str, tf.Tensor]:
        """Give tf.train.Checkpoint the whole value, so that it restores into any shards.

        It passes through the chief's memory, as with every file that Keras itself writes.
        """
        return {_VALUE: tf.convert_to_tensor(self)}

    def _restore_from_tensors(self, restored: dict[str, tf.Tensor]) -> Any:
        return self.assign(restored[_VALUE])


_thread = threading.local()


@contextlib.contextmanager
def variables_on(ps: int) -> Iterator[None]:
    """Make variables on the ps of an index, whole, whether in the scope of a strategy or not.

    What is made in a trace outlives it.
    """
    outer = getattr(_thread, "ps", None)
    _thread.ps = ps
    try:
        with tf.init_scope(), tf.device(ps_device(ps)):
            yield
    finally:
        _thread.ps = outer


_SHARD = re.compile(r"/part_\d+$")


class VariableCreation(ParameterServerStrategyV2Extended):
    """TensorFlow's creation of variables on parameter servers, with three differences.

    A new variable or shard goes to a ps with few bytes (`ByteBalance`). Slot variables of a sharded
    variable are sharded like it. Metric state (variables that Keras makes with synchronization
    `on_read`) stays on the chief, where the workers' parts of it are merged.
    """

    def __init__(
        self, strategy: Any, resolver: Any, partitioner: Callable[..., Any] | None, num_ps: int
    ) -> None:
        super().__init__(strategy, resolver, partitioner)
        self.balance = ByteBalance(num_ps)
        # TensorFlow's strategy sets this on the extended object that it makes itself.
        self._retrace_functions_for_each_device = len(self.worker_devices) > 1

    def _create_variable(self, next_creator: Callable[..., Any], **kwargs: Any) -> Any:
        if kwargs.get("synchronization") == tf.VariableSynchronization.ON_READ:
            with tf.device(CHIEF_DEVICE):
                return next_creator(**kwargs)
        if (ps := getattr(_thread, "ps", None)) is not None:
            with tf.device(ps_device(ps)):
                return next_creator(**kwargs)
        reference = kwargs.get("colocate_with")
        if isinstance(reference, ShardedVariable):
            return self._create_slot_of_sharded(next_creator, reference, **kwargs)
        created = super()._create_variable(next_creator, **kwargs)
        if isinstance(created, tf.__internal__.distribute.ShardedVariable):
            return ShardedVariable(created.variables, name=kwargs["name"])
        return created

    def _resource_creator_scope(self) -> list[Any]:
        """Leave lookup tables alone: a dataset takes a copy of its tables to the worker itself.

        TensorFlow's strategy makes a table in its scope one per worker, which a tf.data function
        cannot use inside of a condition.
        """
        return []

    def _create_slot_of_sharded(
        self, next_creator: Callable[..., Any], reference: Any, **kwargs: Any
    ) -> Any:
        make, name = kwargs.pop("initial_value"), kwargs.pop("name")
        pieces, first_row = [], 0
        for index, shard in enumerate(reference.variables):
            shape, offset = tuple(shard.shape), (first_row,) + (0,) * (len(shard.shape) - 1)
            piece = {
                "name": f"{name}/part_{index}",
                "shape": shape,
                "initial_value": _shard_of(make, shape, offset),
                "colocate_with": shard,
            }
            pieces.append(super()._create_variable(next_creator, **{**kwargs, **piece}))
            first_row += shape[0]
        return ShardedVariable(pieces, name=name)

    def _create_variable_round_robin(self, next_creator: Callable[..., Any], **kwargs: Any) -> Any:
        """Create a variable or a shard; TensorFlow's name for it, though it goes by bytes here."""
        ps = self.balance.choose(is_shard=_SHARD.search(kwargs.get("name") or "") is not None)
        with tf.device(ps_device(ps)):
            variable = next_creator(**kwargs)
        self.balance.add(ps, math.prod(variable.shape) * variable.dtype.size)
        return variable


def _shard_of(
    make: Callable[..., tf.Tensor], shape: tuple[int, ...], offset: tuple[int, ...]
) -> Callable[[], tf.Tensor]:
    return lambda: make(partition_shape=shape, partition_offset=offset)
