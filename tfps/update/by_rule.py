"""The effect of gradients that wait in an inbox of their ps until a rule applies them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from typing_extensions import override

from tfps.optimizer.apply import PsOptimizer
from tfps.params.shards import Shard
from tfps.params.variable_map import Values, VariableMap
from tfps.params.variables import variables_on
from tfps.transport.pull import Versions
from tfps.transport.send import ReceivedPush, ShardGradient
from tfps.update.effect import Effect, Measured
from tfps.update.inbox import Answers, Contents, Inbox, Kind
from tfps.update.ledger import Account, Ledger, Rule
from tfps.update.ps_program import PsProgram


@dataclasses.dataclass(frozen=True, kw_only=True)
class Header:
    """What is sent to each ps together with the gradients.

    Attributes:
        entry: `(kind, worker, version)`, int64: see `Kind`; the version at which the step started.
        counters: the values of the optimizer's counters.
    """

    entry: tf.Tensor
    counters: Values


class ByRule(Effect):
    """Gradients wait in an inbox of their ps until a rule applies them."""

    reaches_all = True

    def __init__(self, optimizer: PsOptimizer, num_workers: int, rule: Rule) -> None:
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
    def give_back(self, start: Versions) -> None:
        for ps, answers in self._answers.items():
            answers.put_back(start[ps])

    @override
    def headers(self, start: Versions, worker: tf.Tensor, counters: Values) -> dict[int, Any]:
        own = VariableMap((v, counters[v]) for v in self.optimizer.counters)
        kind = tf.constant(Kind.GRADIENT, tf.int64)
        return {
            ps: Header(entry=tf.stack([kind, worker, version]), counters=own)
            for ps, version in start.items()
        }

    @override
    def take(self, pushes: Sequence[ReceivedPush], counters: Values) -> tf.Tensor:
        for push in pushes:
            program = self._program(push)
            self.programs[push.ps] = program
            program.inbox.put(push.header.entry, push.tensors)
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

    def _program(self, push: ReceivedPush) -> PsProgram:
        contents = tuple(tf.TensorSpec(t.shape, t.dtype) for t in push.tensors)
        if (push.ps, contents) not in self._ps_programs:
            inbox = Inbox(push.ps, self._workers, contents, self._answers[push.ps])
            work = _MeanOfGradients(self.optimizer, push)
            account = self._accounts[push.ps]
            self._ps_programs[push.ps, contents] = PsProgram(self._rule, account, inbox, work)
        return self._ps_programs[push.ps, contents]


class _MeanOfGradients:
    """Adds up gradients on a ps, and applies their mean to its shards."""

    def __init__(self, optimizer: PsOptimizer, push: ReceivedPush) -> None:
        """Take the optimizer, and a push of the kind that will be applied."""
        self._optimizer = optimizer
        self._push = push
        self._sums = _Sums(push.ps, push.decoded())

    def add(self, contents: list[tf.Tensor]) -> None:
        self._sums.add(self._push.with_tensors(contents).decoded())

    def apply(self, last: list[tf.Tensor], gradients: tf.Tensor) -> None:
        header = self._push.with_tensors(last).header
        means = self._sums.take(gradients)
        ps = self._push.ps
        self._optimizer.apply(means, {ps: header.counters}, ps=ps)


class _Sums:
    """The sums of the gradients that wait on a ps; rows are kept one by one until they are taken.

    Only the ps program uses them, so there is no other writer.
    """

    def __init__(self, ps: int, like: Sequence[ShardGradient]) -> None:
        """Make the variables, on the ps of an index, for gradients of the kind of `like`."""
        self._whole: dict[Shard, tuple[ShardGradient, tf.Variable]] = {}
        self._rows: dict[Shard, tuple[ShardGradient, tf.Variable, tf.Variable]] = {}
        with variables_on(ps):
            for gradient in like:
                shape, dtype = gradient.shard.shape, gradient.value.dtype
                if gradient.ids is None:
                    self._whole[gradient.shard] = gradient, tf.Variable(tf.zeros(shape, dtype))
                    continue
                ids = tf.Variable(tf.zeros([0], tf.int32), shape=[None])
                rows = tf.Variable(tf.zeros([0, *shape[1:]], dtype), shape=[None, *shape[1:]])
                self._rows[gradient.shard] = gradient, ids, rows

    def add(self, gradients: Sequence[ShardGradient]) -> None:
        """Add gradients of the kind of `like`."""
        for gradient in gradients:
            if gradient.ids is None:
                _, total = self._whole[gradient.shard]
                total.assign_add(gradient.value, read_value=False)
                continue
            _, ids, rows = self._rows[gradient.shard]
            ids.assign(tf.concat([ids, gradient.ids], axis=0), read_value=False)
            rows.assign(tf.concat([rows, gradient.value], axis=0), read_value=False)

    def take(self, count: tf.Tensor) -> list[ShardGradient]:
        """Return the sums divided by `count`, and reset them."""
        taken = []
        for gradient, total in self._whole.values():
            taken.append(dataclasses.replace(gradient, value=_mean(total.read_value(), count)))
            total.assign(tf.zeros(total.shape, total.dtype), read_value=False)
        for gradient, ids, rows in self._rows.values():
            unique, inverse = tf.unique(ids.read_value(), out_idx=tf.int32)
            summed = tf.math.unsorted_segment_sum(rows.read_value(), inverse, tf.size(unique))
            taken.append(dataclasses.replace(gradient, ids=unique, value=_mean(summed, count)))
            ids.assign(tf.zeros([0], tf.int32), read_value=False)
            rows.assign(tf.zeros([0, *rows.shape[1:]], rows.dtype), read_value=False)
        return taken


def _mean(total: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    return total / tf.cast(count, total.dtype)
