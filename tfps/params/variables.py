"""How a strategy's scope creates variables, and on which ps."""

from __future__ import annotations

import contextlib
import math
import re
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf
from typing_extensions import override

from tfps import _tensorflow
from tfps._tensorflow import ShardedVariable
from tfps.params.placement import CHIEF_DEVICE, PS_DEVICES, ByteBalance, ps_device

_thread = threading.local()


@contextlib.contextmanager
def variables_on(ps: int) -> Iterator[None]:
    """Create the block's variables on the ps of an index, whole, in or outside a strategy's scope.

    Variables that are created while a function is traced outlive the trace.
    """
    outer = getattr(_thread, "ps", None)
    _thread.ps = ps
    try:
        with tf.init_scope(), tf.device(ps_device(ps)):
            yield
    finally:
        _thread.ps = outer


_SHARD = re.compile(r"/part_\d+$")


class PsVariableCreation(_tensorflow.VariableCreation):
    """Creates the variables of a strategy's scope, with four differences to TensorFlow.

    A new variable or shard goes to a ps with few bytes (`ByteBalance`). Slot variables of a sharded
    variable are sharded like it. Those of a loaded SavedModel stay whole. Metric state (variables
    that Keras creates with synchronization `on_read`) stays on the chief, which merges the workers'
    parts of it.

    Attributes:
        balance: the bytes on each ps.
    """

    def __init__(
        self, strategy: Any, resolver: Any, partitioner: Callable[..., Any] | None
    ) -> None:
        super().__init__(strategy, resolver, partitioner)
        self.balance = ByteBalance(len(resolver.cluster_spec().as_dict().get("ps", ())))

    @override
    def create_variable(self, next_creator: Callable[..., Any], **kwargs: Any) -> Any:
        if kwargs.get("synchronization") == tf.VariableSynchronization.ON_READ:
            with tf.device(CHIEF_DEVICE):
                return next_creator(**kwargs)
        if (ps := getattr(_thread, "ps", None)) is not None:
            with tf.device(ps_device(ps)):
                return next_creator(**kwargs)
        reference = kwargs.get("colocate_with")
        if isinstance(reference, ShardedVariable):
            return self._create_slot_of_sharded(next_creator, reference, **kwargs)
        if kwargs.get("initial_value") is None:  # of a SavedModel, whose functions know it whole
            return self.place_variable(next_creator, **kwargs)
        return super().create_variable(next_creator, **kwargs)

    @override
    def place_variable(self, next_creator: Callable[..., Any], **kwargs: Any) -> Any:
        ps = self.balance.choose(is_shard=_SHARD.search(kwargs.get("name") or "") is not None)
        with tf.device(ps_device(ps)):
            variable = next_creator(**kwargs)
        num_bytes = math.prod(variable.shape) * variable.dtype.size
        self.balance.add(ps, num_bytes)
        weakref.finalize(variable, self.balance.remove, ps, num_bytes)
        return variable

    def _create_slot_of_sharded(
        self, next_creator: Callable[..., Any], reference: ShardedVariable, **kwargs: Any
    ) -> ShardedVariable:
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
            pieces.append(super().create_variable(next_creator, **{**kwargs, **piece}))
            first_row += shape[0]
        return ShardedVariable(pieces, name=name)


def _shard_of(
    make: Callable[..., tf.Tensor], shape: tuple[int, ...], offset: tuple[int, ...]
) -> Callable[[], tf.Tensor]:
    return lambda: make(partition_shape=shape, partition_offset=offset)


@contextlib.contextmanager
def traced_on(ps: int) -> Iterator[list[tf.Operation]]:
    """Give a list that has, after the block, the ops on a ps that were traced in it."""
    graph = tf.compat.v1.get_default_graph()
    before = len(graph.get_operations())
    ops: list[tf.Operation] = []
    yield ops
    device = ps_device(ps)
    ops += [op for op in graph.get_operations()[before:] if op.device == device]


@contextlib.contextmanager
def awaited_on(ps: int) -> Iterator[None]:
    """Let a ps wait for the ops of the block that other ps run: one op there runs after them."""
    graph, device = tf.compat.v1.get_default_graph(), ps_device(ps)
    before = len(graph.get_operations())
    yield
    ops = [op for op in graph.get_operations()[before:] if op.device.startswith(PS_DEVICES)]
    if elsewhere := [op for op in ops if op.device != device]:
        with tf.device(device), tf.control_dependencies(elsewhere):
            tf.no_op()


@contextlib.contextmanager
def locked(ps: int, after: Sequence[tf.Tensor]) -> Iterator[list[tf.Operation]]:
    """Trace the block's ops on a ps so that those of another such block do not run in between.

    The lock is one for all functions of all workers. It is held only while the ps works: it is
    taken when what came from the worker is there. An op of the block may wait for another ps only
    if no block on that one waits for this ps.

    Args:
        ps: the index of the ps.
        after: what the block needs; the lock is taken when these tensors have been computed.

    Yields:
        A list that has, after the block, the op that releases the lock.
    """
    device, end = ps_device(ps), list[tf.Operation]()
    with tf.device(device), tf.control_dependencies(list(after)):
        mutex = tf.raw_ops.MutexV2(container="", shared_name="tfps_update")
        lock = tf.raw_ops.MutexLock(mutex=mutex)
    with traced_on(ps) as ops, tf.control_dependencies([lock]):
        yield end
    with tf.device(device), tf.control_dependencies(ops):
        end.append(tf.raw_ops.ConsumeMutexLock(mutex_lock=lock))


def take_number(counter: tf.Variable) -> tf.Tensor:
    """Add 1 to an integer variable and return its value before: each caller gets another number.

    To be called under the variable's device.
    """
    return tf.raw_ops.ResourceCountUpTo(
        resource=counter.handle, limit=counter.dtype.max, T=counter.dtype
    )
