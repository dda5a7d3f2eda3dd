"""The program that a ps runs while gradients take effect by a rule.

It takes one entry after the other out of its inbox. So no other push, and no worker that dies,
comes between a decision and its effect.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from tfps import _tensorflow
from tfps.params.placement import ps_device
from tfps.update.inbox import Inbox, Kind, empty
from tfps.update.ledger import Account, Ledger, Rule


class Work(Protocol):
    """What a ps does with the gradients in its inbox; traced on the ps."""

    def add(self, contents: list[tf.Tensor]) -> None:
        """Keep the contents of a push until they take effect together with others."""

    def apply(self, last: list[tf.Tensor], gradients: tf.Tensor) -> None:
        """Apply the mean of what was added since the last update.

        Args:
            last: the contents of the last push that was added.
            gradients: how many were added since the last update, int64.
        """


class PsProgram:
    """What one ps does with one inbox, from the start of a run to its end.

    Attributes:
        inbox: where pushes come from.
    """

    def __init__(self, rule: Rule, account: Account, inbox: Inbox, work: Work | None) -> None:
        """Take the rule, the ledger, the inbox, and what to do with gradients, if anything."""
        self._rule = rule
        self._account = account
        self.inbox = inbox
        self._work = work

    @property
    def ps(self) -> int:
        """The index of the ps."""
        return self.inbox.ps

    @property
    def in_step(self) -> bool:
        """Whether a worker starts a step only after every other worker has ended one."""
        return self._rule.in_step

    @property
    def patience_s(self) -> float | None:
        """See `Rule.patience_s`."""
        return self._rule.patience_s

    def run(self, members: np.ndarray) -> None:
        """Run until an entry of kind END; to be called on the chief, in a thread of its own.

        Args:
            members: bool, of shape `(W,)`: the workers that take part from the start.
        """
        # Called on the ps, not from here: nothing of it is then placed on the chief.
        with _tensorflow.on_own_stream(), tf.device(ps_device(self.ps)):
            before = Ledger(*map(tf.constant, self._account.ledger))
            after = self._function(before, tf.constant(members))
        self._account.ledger = Ledger(*(tensor.numpy() for tensor in after))

    @functools.cached_property
    def _function(self) -> Any:
        ledger = [tf.TensorSpec(v.shape, v.dtype) for v in Ledger.empty(self.inbox.workers)]
        members = tf.TensorSpec([self.inbox.workers], tf.bool)
        traced = tf.function(self._serve, autograph=False)
        return traced.get_concrete_function(Ledger(*ledger), members)

    def _serve(self, ledger: Ledger, members: tf.Tensor) -> Ledger:
        with tf.device(ps_device(self.inbox.ps)):
            now_s = tf.timestamp()
            ledger = ledger.left(tf.ones_like(members)).joined(members, now_s)
            ledger = self._let_start(ledger, now_s)
            after, *_ = tf.while_loop(
                lambda ledger, last, going: going,
                self._entry,
                (ledger, empty(self.inbox.contents), tf.constant(True)),
                shape_invariants=(
                    Ledger(*(tensor.shape for tensor in ledger)),
                    [spec.shape for spec in self.inbox.contents],
                    tf.TensorShape([]),
                ),
                parallel_iterations=1,
            )
            return Ledger(*after)

    def _entry(
        self, ledger: Ledger, last: list[tf.Tensor], going: tf.Tensor
    ) -> tuple[Ledger, list[tf.Tensor], tf.Tensor]:
        """Take one entry out of the inbox, and process it."""
        header, contents = self.inbox.take()
        kind, worker, start = tf.unstack(header)
        with tf.control_dependencies(
            [header]
        ):  # or else: the time at which the last entry was done
            now_s = tf.timestamp()
        pushes = kind <= Kind.NOTHING
        brought = tf.equal(kind, Kind.GRADIENT)
        counts = pushes & self._rule.counts(ledger, worker, start)
        lag = self._rule.lag(ledger, start)
        last = self._added(contents, last, brought & counts)

        def joined() -> Ledger:
            self.inbox.confirm()
            return ledger.joined(ledger.one(worker), now_s)

        def left() -> Ledger:
            # When it joins again, its first answer must not be an old one.
            self.inbox.answers.forget(ledger.one(worker))
            return ledger.left(ledger.one(worker))

        def checked() -> Ledger:
            patience_s = self.patience_s
            late = tf.zeros_like(ledger.members)
            if patience_s is not None:
                late = ledger.late(patience_s, now_s)
            self.inbox.name_late(late)
            return ledger.left(late)

        def ended() -> Ledger:
            self.inbox.answers.forget(tf.ones_like(ledger.members))
            return ledger

        cases: dict[Kind, Callable[[], Ledger]] = {
            Kind.JOINED: joined,
            Kind.LEFT: left,
            Kind.CHECK: checked,
            Kind.END: ended,
        }
        ledger = tf.cond(
            pushes,
            lambda: ledger.pushed(worker, lag, now_s, brought=brought, counts=counts),
            lambda: tf.switch_case(
                tf.cast(kind - Kind.JOINED, tf.int32), [cases[k] for k in sorted(cases)]
            ),
        )
        over = tf.equal(kind, Kind.END)
        due = self._rule.takes_effect(ledger) | (over & (ledger.gradients > 0))
        ledger = tf.cond(due, lambda: self._updated(ledger, last), lambda: ledger)
        ledger = tf.cond(over, lambda: ledger, lambda: self._let_start(ledger, now_s))
        return ledger, last, ~over

    def _added(
        self, contents: list[tf.Tensor], last: list[tf.Tensor], counts: tf.Tensor
    ) -> list[tf.Tensor]:
        work = self._work
        if work is None:
            return last

        def add() -> list[tf.Tensor]:
            work.add(contents)
            return contents

        return list(tf.cond(counts, add, lambda: last))

    def _updated(self, ledger: Ledger, last: list[tf.Tensor]) -> Ledger:
        work = self._work
        if work is not None:

            def apply() -> tf.Operation:
                work.apply(last, ledger.gradients)
                return tf.no_op()

            tf.cond(ledger.gradients > 0, apply, tf.no_op)
        return ledger.updated()

    def _let_start(self, ledger: Ledger, now_s: tf.Tensor) -> Ledger:
        workers = self._rule.may_start(ledger) & ledger.waiting
        self.inbox.answers.give(workers, self._rule.answers(ledger))
        return ledger.started(workers, now_s, pulls=self._rule.pulls(ledger))
