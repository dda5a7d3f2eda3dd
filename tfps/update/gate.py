"""The gate: one ps decides for all when a worker may start its next step."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from tfps.params.placement import ps_device
from tfps.update.inbox import Answers, Inbox, Kind
from tfps.update.ledger import Account, Ledger, Rule
from tfps.update.measured import Measured
from tfps.update.ps_program import PsProgram

_PS = 0  # It must be one: two that decide by themselves could each wait for the other.


class Gate:
    """Lets steps start by a rule, which is told when all updates of a step have been made.

    Attributes:
        program: what runs on its ps while the workers train.
    """

    def __init__(self, workers: int, rule: Rule, *, counts_staleness: bool) -> None:
        """Make its queues, for so many workers.

        Args:
            workers: how many workers there are.
            rule: the rule.
            counts_staleness: whether staleness is what the rule says it is, and not the number of
                updates that each ps counts.
        """
        self._counts_staleness = counts_staleness
        self._answers = Answers(_PS, workers)
        self._inbox = Inbox(_PS, workers, (), self._answers)
        self._account = Account(Ledger.empty(workers))
        self.program = PsProgram(rule, self._account, self._inbox, None)

    def prepare(self) -> None:
        """Prepare for a trace; to be called at the top of a worker's function."""
        self._answers.prepare()

    def begin(self) -> tf.Tensor:
        """Wait until a step may start; return what the rule tells, int64, on the worker."""
        return tf.identity(self._answers.read())

    def end(self, worker: tf.Tensor, began: tf.Tensor, applied: Sequence[tf.Tensor]) -> None:
        """Say that a step's updates have been made, and ask for the next step.

        Args:
            worker: the index of the worker, int64.
            began: what the rule wants to know of the step, int64: see `Rule.lag`.
            applied: tensors that are there once they have been made.
        """
        with tf.control_dependencies(applied):
            header = tf.stack([tf.constant(Kind.GRADIENT, tf.int64), worker, began])
        with tf.device(ps_device(_PS)):
            self._inbox.put(header, [])

    def measured(self, num_ps: int) -> Measured:
        """Return what its ps has counted since training began; to be called on the chief."""
        ledger = self._account.ledger
        found = Measured.nothing(num_ps, self._inbox.workers)
        if self._counts_staleness:
            found.staleness[_PS] = ledger.staleness
        return dataclasses.replace(found, waited_s=ledger.waited_s)
