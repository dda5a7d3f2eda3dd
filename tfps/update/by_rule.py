"""The effect of gradients that wait in an inbox of their ps until a rule applies them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf
from typing_extensions import override

from tfps.optimizer.apply import Common, Optimizer
from tfps.params.variable_map import Values, VariableMap
from tfps.transport.delivery import Delivery
from tfps.transport.pull import Versions
from tfps.update.effect import Effect
from tfps.update.inbox import Answers, Contents, Inbox, Kind
from tfps.update.ledger import Account, Ledger, Rule
from tfps.update.measured import Measured
from tfps.update.ps_program import PsProgram
from tfps.update.sums import Sums


@dataclasses.dataclass(frozen=True, kw_only=True)
class Header:
    """What is sent to each ps together with the gradients.

    Attributes:
        entry: `(kind, worker, version)`, int64: see `Kind`; the version at which the step started.
        common: the learning rates and the global step.
        counters: the values of the optimizer's counters.
    """

    entry: tf.Tensor
    common: Common
    counters: Values


class ByRule(Effect):
    """Gradients wait in an inbox of their ps until a rule applies them."""

    reaches_all = True

    def __init__(self, optimizer: Optimizer, num_workers: int, rule: Rule) -> None:
        """Make the answers and the ledger of each ps that `optimizer` writes to."""
        super().__init__(optimizer)
        self._workers = num_workers
        self._rule = rule
        self._answers = {ps: Answers(ps, num_workers) for ps in optimizer.ps}
        self._accounts = {ps: Account(Ledger.empty(num_workers)) for ps in optimizer.ps}
        self.versioned = list(self._answers)
        self._made: dict[tuple[int, Contents], PsProgram] = {}

    @override
    def prepare(self) -> None:
        for answers in self._answers.values():
            answers.prepare()

    @override
    def begin(self) -> Versions:
        return {ps: answers.read() for ps, answers in self._answers.items()}

    @override
    def headers(
        self, start: Versions, worker: tf.Tensor, dtypes: Iterable[tf.DType], counters: Values
    ) -> dict[int, Any]:
        common = self.optimizer.common(dtypes, counters)
        own = VariableMap((v, counters[v]) for v in self.optimizer.counters)
        kind = tf.constant(Kind.GRADIENT, tf.int64)
        return {
            ps: Header(entry=tf.stack([kind, worker, version]), common=common, counters=own)
            for ps, version in start.items()
        }

    @override
    def take(self, deliveries: Sequence[Delivery], counters: Values) -> tf.Tensor:
        for delivery in deliveries:
            program = self._program(delivery)
            self.programs[delivery.ps] = program
            program.inbox.put(delivery.header.entry, delivery.tensors)
        return tf.zeros([], tf.int64)

    @override
    def skip(self, start: Versions, worker: tf.Tensor) -> None:
        for ps, program in self.programs.items():
            header = tf.stack([tf.constant(Kind.NOTHING, tf.int64), worker, start[ps]])
            program.inbox.put_empty(header)

    @override
    def measured(self, num_ps: int) -> Measured:
        ledgers = {ps: account.ledger for ps, account in self._accounts.items()}
        return Measured.of(ledgers, num_ps, self._workers)

    def _program(self, delivery: Delivery) -> PsProgram:
        contents = tuple(tf.TensorSpec(t.shape, t.dtype) for t in delivery.tensors)
        if (delivery.ps, contents) not in self._made:
            inbox = Inbox(delivery.ps, self._workers, contents, self._answers[delivery.ps])
            work = _Applying(self.optimizer, delivery)
            account = self._accounts[delivery.ps]
            self._made[delivery.ps, contents] = PsProgram(self._rule, account, inbox, work)
        return self._made[delivery.ps, contents]


class _Applying:
    """Adds up gradients on a ps, and applies their mean to its shards."""

    def __init__(self, optimizer: Optimizer, delivery: Delivery) -> None:
        """Take the optimizer, and a delivery of the kind that will be applied."""
        self._optimizer = optimizer
        self._delivery = delivery
        self._sums = Sums(delivery.ps, delivery.decoded())

    def add(self, contents: list[tf.Tensor]) -> None:
        self._sums.add(self._delivery.with_tensors(contents).decoded())

    def apply(self, last: list[tf.Tensor], gradients: tf.Tensor) -> None:
        header = self._delivery.with_tensors(last).header
        pieces = self._sums.take(gradients)
        self._optimizer.apply(
            pieces, header.counters, {self._delivery.ps: header.common}, ps=self._delivery.ps
        )
