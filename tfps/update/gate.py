"""The gate: one ps decides for all when a worker may start its next step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import tensorflow as tf
from typing_extensions import override

from tfps.params.placement import ps_device
from tfps.transport.pull import Pull
from tfps.update.effect import Measured
from tfps.update.inbox import Answers, Inbox, Kind
from tfps.update.ledger import Account, Ledger, Rule
from tfps.update.ps_program import PsProgram
from tfps.worker.cache import Cache

_PS = 0  # It must be one: two that decide by themselves could each wait for the other.


class Gate:
    """Lets steps start by a rule, which learns when all updates of a step have been made.

    Attributes:
        program: runs on the gate's ps while the workers train.
    """

    def __init__(self, num_workers: int, rule: Rule) -> None:
        """Make the gate's queues."""
        self._answers = Answers(_PS, num_workers)
        self._inbox = Inbox(_PS, num_workers, (), self._answers)
        self._account = Account(Ledger.empty(num_workers))
        self.program = PsProgram(rule, self._account, self._inbox, None)

    def prepare(self) -> None:
        """Prepare for a trace; to be called at the top of a worker's function."""
        self._answers.prepare()

    def pull(
        self,
        pull_all: Callable[[], Pull],
        pull_whole: Callable[[], Pull],
        pull_rows: Callable[[], Pull],
    ) -> Pull:
        """Wait until the step may start; return what it computes on.

        Args:
            pull_all: pulls all that a step needs.
            pull_whole: pulls the parameters that are needed whole.
            pull_rows: pulls the rows of tables.
        """
        with tf.control_dependencies([self._wait()]):
            return pull_all()

    def end(self, worker: tf.Tensor, applied: Sequence[tf.Tensor]) -> None:
        """Tell the ps that a step's updates have been made, and ask for the next step.

        Args:
            worker: the index of the worker, int64.
            applied: tensors that are computed once the updates have been made.
        """
        with tf.control_dependencies(applied):
            header = tf.stack([tf.constant(Kind.GRADIENT, tf.int64), worker, self._lag(worker)])
        with tf.device(ps_device(_PS)):
            self._inbox.put(header, [])

    def measured(self, num_ps: int) -> Measured:
        """Return what its ps has counted since training began; to be called on the chief."""
        found = Measured.nothing(num_ps, self._inbox.workers)
        return dataclasses.replace(found, waited_s=self._account.ledger.waited_s)

    def _wait(self) -> tf.Tensor:
        """Wait until a step may start; return the ps' answer, int64, on the worker."""
        return tf.identity(self._answers.read())

    def _lag(self, worker: tf.Tensor) -> tf.Tensor:
        """Return what the rule wants to know of the step, int64: see `Rule.lag`."""
        return tf.zeros_like(worker)


class CachingGate(Gate):
    """A gate that also decides which steps pull, and which compute on what was pulled before.

    Its staleness is what the rule says, not the number of updates that each ps counts.
    """

    def __init__(self, num_workers: int, rule: Rule, cache: Cache) -> None:
        """Make the gate's queues; `cache` is what the workers keep."""
        super().__init__(num_workers, rule)
        self._cache = cache

    @override
    def prepare(self) -> None:
        super().prepare()
        self._cache.prepare()

    @override
    def pull(
        self,
        pull_all: Callable[[], Pull],
        pull_whole: Callable[[], Pull],
        pull_rows: Callable[[], Pull],
    ) -> Pull:
        answer = self._wait()
        with tf.control_dependencies([answer]):
            return self._cache.pull(answer, pull_whole, pull_rows())

    @override
    def measured(self, num_ps: int) -> Measured:
        found = super().measured(num_ps)
        found.staleness[_PS] = self._account.ledger.staleness
        return found

    @override
    def _lag(self, worker: tf.Tensor) -> tf.Tensor:
        return self._cache.age
