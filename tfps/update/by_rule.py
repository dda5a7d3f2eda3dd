"""The effect of gradients that wait in an inbox of their ps until a rule applies them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf
from typing_extensions import override

from tfps.optimizer.apply import Common, Optimizer
from tfps.params.shards import Shard
from tfps.params.variable_map import Values, VariableMap
from tfps.params.variables import variables_on
from tfps.transport.delivery import Delivery, Piece
from tfps.transport.pull import Versions
from tfps.update.effect import Effect
from tfps.update.inbox import Answers, Contents, Inbox, Kind
from tfps.update.ledger import Account, Ledger, Rule
from tfps.update.measured import Measured
from tfps.update.ps_program import PsProgram


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
        self._ps_programs: dict[tuple[int, Contents], PsProgram] = {}

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
        if (delivery.ps, contents) not in self._ps_programs:
            inbox = Inbox(delivery.ps, self._workers, contents, self._answers[delivery.ps])
            work = _MeanOfGradients(self.optimizer, delivery)
            account = self._accounts[delivery.ps]
            self._ps_programs[delivery.ps, contents] = PsProgram(self._rule, account, inbox, work)
        return self._ps_programs[delivery.ps, contents]


class _MeanOfGradients:
    """Adds up gradients on a ps, and applies their mean to its shards."""

    def __init__(self, optimizer: Optimizer, delivery: Delivery) -> None:
        """Take the optimizer, and a delivery of the kind that will be applied."""
        self._optimizer = optimizer
        self._delivery = delivery
        self._sums = _Sums(delivery.ps, delivery.decoded())

    def add(self, contents: list[tf.Tensor]) -> None:
        self._sums.add(self._delivery.with_tensors(contents).decoded())

    def apply(self, last: list[tf.Tensor], gradients: tf.Tensor) -> None:
        header = self._delivery.with_tensors(last).header
        pieces = self._sums.take(gradients)
        self._optimizer.apply(
            pieces, header.counters, {self._delivery.ps: header.common}, ps=self._delivery.ps
        )


class _Sums:
    """The sums of the gradients that wait on a ps; rows are kept one by one until they are taken.

    Only the ps program uses them, so there is no other writer.
    """

    def __init__(self, ps: int, like: Sequence[Piece]) -> None:
        """Make the variables, on the ps of an index, for pieces of the kind of `like`."""
        self._whole: dict[Shard, tuple[Piece, tf.Variable]] = {}
        self._rows: dict[Shard, tuple[Piece, tf.Variable, tf.Variable]] = {}
        with variables_on(ps):
            for piece in like:
                shape, dtype = piece.shard.shape, piece.value.dtype
                if piece.ids is None:
                    self._whole[piece.shard] = piece, tf.Variable(tf.zeros(shape, dtype))
                    continue
                ids = tf.Variable(tf.zeros([0], tf.int32), shape=[None])
                rows = tf.Variable(tf.zeros([0, *shape[1:]], dtype), shape=[None, *shape[1:]])
                self._rows[piece.shard] = piece, ids, rows

    def add(self, pieces: Sequence[Piece]) -> None:
        """Add pieces of the kind of `like`."""
        for piece in pieces:
            if piece.ids is None:
                _, total = self._whole[piece.shard]
                total.assign_add(piece.value, read_value=False)
                continue
            _, ids, rows = self._rows[piece.shard]
            ids.assign(tf.concat([ids, piece.ids], axis=0), read_value=False)
            rows.assign(tf.concat([rows, piece.value], axis=0), read_value=False)

    def take(self, count: tf.Tensor) -> list[Piece]:
        """Return the sums divided by `count`, and reset them."""
        taken = []
        for piece, total in self._whole.values():
            taken.append(dataclasses.replace(piece, value=_mean(total.read_value(), count)))
            total.assign(tf.zeros(total.shape, total.dtype), read_value=False)
        for piece, ids, rows in self._rows.values():
            unique, inverse = tf.unique(ids.read_value(), out_idx=tf.int32)
            summed = tf.math.unsorted_segment_sum(rows.read_value(), inverse, tf.size(unique))
            taken.append(dataclasses.replace(piece, ids=unique, value=_mean(summed, count)))
            ids.assign(tf.zeros([0], tf.int32), read_value=False)
            rows.assign(tf.zeros([0, *rows.shape[1:]], rows.dtype), read_value=False)
        return taken


def _mean(total: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    return total / tf.cast(count, total.dtype)
