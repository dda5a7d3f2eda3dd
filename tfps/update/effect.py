"""Effect: how the gradients that a worker pushes take effect."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

from tfps.optimizer.apply import Optimizer
from tfps.optimizer.views import Values
from tfps.transport.delivery import Delivery
from tfps.transport.pull import Versions
from tfps.update.measured import Measured
from tfps.update.ps_program import PsProgram


class Effect(abc.ABC):
    """How the gradients of one optimizer take effect; traced in the workers' functions.

    Attributes:
        optimizer: the optimizer.
        programs: what runs on the ps, by its index, while workers run what was traced last.
        reaches_all: whether each ps is told of a step that has no gradients for it, too.
        versioned: the ps of which `begin` returns a version.
    """

    reaches_all = False
    versioned: Sequence[int] = ()

    def __init__(self, optimizer: Optimizer) -> None:
        """Take the optimizer."""
        self.optimizer = optimizer
        self.programs: dict[int, PsProgram] = {}

    @abc.abstractmethod
    def prepare(self) -> None:
        """Prepare for a trace; to be called at the top of a worker's function."""

    @abc.abstractmethod
    def begin(self) -> Versions:
        """Return the versions at which a step begins, each on its ps, once it may begin.

        What is pulled is to be read afterwards.
        """

    @abc.abstractmethod
    def along(
        self, began: Versions, worker: tf.Tensor, dtypes: Iterable[tf.DType], counters: Values
    ) -> dict[int, Any]:
        """Return what to send to each ps with gradients, by its index; on the worker.

        Args:
            began: the versions at which the step began.
            worker: the index of the worker, int64.
            dtypes: those of the gradients.
            counters: the values of `optimizer.counters`, by `id` of the variable.
        """

    @abc.abstractmethod
    def take(self, deliveries: Sequence[Delivery], counters: Values) -> tf.Tensor:
        """Take what came to the ps; `along` of each delivery is what `along` returned.

        Returns:
            An int64 scalar on the worker. Where a gate needs it, all updates have been made once it
            is there.
        """

    @abc.abstractmethod
    def measured(self, num_ps: int) -> Measured:
        """Return what the ps have counted since training began; to be called on the chief."""

    @abc.abstractmethod
    def skip(self, began: Versions, worker: tf.Tensor) -> None:
        """Take note of a step that pushes nothing."""
