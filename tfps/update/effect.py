"""Effect: how the gradients that a worker pushes take effect."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

from tfps.optimizer.apply import PsOptimizer
from tfps.params.variable_map import Values
from tfps.transport.pull import Versions
from tfps.transport.received_push import ReceivedPush
from tfps.update.measured import Measured
from tfps.update.ps_program import PsProgram


class Effect(abc.ABC):
    """How the gradients of one optimizer take effect; traced in the workers' functions.

    Attributes:
        optimizer: the optimizer.
        programs: by the index of the ps, the program that runs there while workers run what was
            traced last.
        reaches_all: whether each ps hears of each step, also of one that has no gradient for it.
        versioned: the indices of the ps of which `begin` returns a version.
    """

    reaches_all = False
    versioned: Sequence[int] = ()

    def __init__(self, optimizer: PsOptimizer) -> None:
        """Take the optimizer."""
        self.optimizer = optimizer
        self.programs: dict[int, PsProgram] = {}

    @abc.abstractmethod
    def prepare(self) -> None:
        """Prepare for a trace; to be called at the top of a worker's function."""

    @abc.abstractmethod
    def begin(self) -> Versions:
        """Wait until a step may start; return the versions at which it starts, each on its ps.

        Parameters are to be read afterwards.
        """

    @abc.abstractmethod
    def headers(
        self, start: Versions, worker: tf.Tensor, dtypes: Iterable[tf.DType], counters: Values
    ) -> dict[int, Any]:
        """Return what to send to each ps together with the gradients, by its index; on the worker.

        Args:
            start: the versions at which the step started.
            worker: the index of the worker, int64.
            dtypes: those of the gradients.
            counters: the values of `optimizer.counters`.
        """

    @abc.abstractmethod
    def take(self, pushes: Sequence[ReceivedPush], counters: Values) -> tf.Tensor:
        """Apply what the ps received, or enqueue it there.

        Args:
            pushes: what each ps received; its `header` is from `headers`.
            counters: the values of `optimizer.counters`.

        Returns:
            An int64 scalar on the worker. If a gate needs it, the scalar is computed after all of
            the updates.
        """

    @abc.abstractmethod
    def measured(self, num_ps: int) -> Measured:
        """Return the ps's counts since training began; to be called on the chief."""

    @abc.abstractmethod
    def skip(self, start: Versions, worker: tf.Tensor) -> None:
        """Report a step that pushes nothing."""
