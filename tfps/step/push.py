"""Push: a worker sends gradients, and differences of what it wrote, to the ps that own them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from tfps.optimizer.apply import PsOptimizer
from tfps.optimizer.views import RowView, view_of_part
from tfps.params.variable_map import Values, VariableMap, VariableSet
from tfps.params.variables import awaited_on, locked
from tfps.step.calls import StepApply
from tfps.step.compute import Applied
from tfps.transport.messages import Wire
from tfps.transport.pull import Pull
from tfps.transport.rows import RowRequest
from tfps.transport.send import DenseValues, RowValues, send
from tfps.transport.transfer import ByteCount, total
from tfps.update.effect import Effect
from tfps.worker.accumulate import Gradients, requests_for
from tfps.worker.codec_state import CodecState
from tfps.worker.replica import Replica


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pushed:
    """The result of pushes.

    Attributes:
        dropped: the number of updates that were dropped because gradients were not finite, int64.
        sent_bytes: what went to each ps, int64, of shape `(num_ps, 2)`: uncoded and coded.
        applied: the receipt of each update: see `Effect.take`.
        written: by the index of a ps, the ops after which what it holds of trained variables is
            what the worker assigned to them.
    """

    dropped: tf.Tensor
    sent_bytes: tf.Tensor
    applied: Sequence[tf.Tensor] = ()
    written: Mapping[int, Sequence[tf.Operation]] = dataclasses.field(default_factory=dict)

    @classmethod
    def nothing(cls, num_ps: int) -> Pushed:
        """Return the result of an empty push."""
        return cls(dropped=_zero(), sent_bytes=total([], num_ps))

    @property
    def traffic(self) -> tf.Tensor:
        """Its bytes, int64, of shape `(num_ps, 2, 2)`: pulled and pushed, uncoded and coded."""
        return tf.stack([tf.zeros_like(self.sent_bytes), self.sent_bytes], axis=1)

    def __add__(self, other: Pushed) -> Pushed:
        return Pushed(
            dropped=self.dropped + other.dropped,
            sent_bytes=self.sent_bytes + other.sent_bytes,
            applied=[*self.applied, *other.applied],
            written={
                ps: [*self.written.get(ps, ()), *other.written.get(ps, ())]
                for ps in {*self.written, *other.written}
            },
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class GradientPush:
    """Sends the gradients of a call of `apply` to their ps, where they take effect.

    Its branches return the number of dropped updates, int64; the bytes that were sent; and the
    receipt of the updates (see `Effect.take`).

    Attributes:
        call: the call.
        pulled: what the gradients were computed from.
        wire: the format in which they travel.
        worker: the index of the worker, int64.
        after: a push of what the step assigned; the gradients take effect on it.
        replica: the worker's own values, which follow the step; None if there are none.
        paced: whether the messages to a ps follow one another, if the gradients are computed at
            once: what the first message updates can then be pulled while others are on their way.
    """

    call: StepApply
    pulled: Pull
    wire: Wire
    worker: tf.Tensor
    after: Pushed
    replica: Replica | None
    paced: bool = False

    @property
    def _optimizer(self) -> PsOptimizer:
        return self.call.optimizer

    def push(self, applied: Applied) -> Pushed:
        """Send the gradients; traced in a worker's function."""
        gradients = self._optimizer.unscaled(applied.gradients, self.pulled.whole)
        finite = self._optimizer.are_good(gradients)

        def send() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            return self._push_or_accumulate(self._by_kind(gradients))

        results = send() if finite is None else tf.cond(finite, send, self._drop)
        dropped, sent_bytes, receipt = results
        return Pushed(dropped=dropped, sent_bytes=sent_bytes, applied=[receipt])

    def _by_kind(self, gradients: Values) -> Gradients:
        """Return the gradients of whole variables, and those of rows with the ids of the rows."""
        requests = self.pulled.requests
        tables = VariableMap((request.variable, request) for request in requests)
        return Gradients(
            whole=VariableMap((v, g) for v, g in gradients.items() if v not in tables),
            ids=VariableMap((table, request.ids) for table, request in tables.items()),
            rows=VariableMap((v, g) for v, g in gradients.items() if v in tables),
        )

    def _push_or_accumulate(self, gradients: Gradients) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        accumulator = self.call.accumulator
        if accumulator is None:
            return _zero(), *self._update(gradients, self.pulled.requests)

        def update_with_sum() -> tuple[tf.Tensor, tf.Tensor]:
            mean = accumulator.take(gradients)
            return self._update(mean, requests_for(mean, self.pulled.requests))

        def accumulate() -> tuple[tf.Tensor, tf.Tensor]:
            accumulator.add(gradients)
            self._optimizer.count(list(gradients.whole))
            if self.replica is not None:
                self.replica.count(self._optimizer, gradients.whole)
            self._skip()
            return total([], self.wire.num_ps), _zero()

        return _zero(), *tf.cond(accumulator.is_last(), update_with_sum, accumulate)

    def _update(
        self, gradients: Gradients, requests: Sequence[RowRequest]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        clipped = self._optimizer.clipped(gradients.whole | gradients.rows)
        whole = VariableMap((v, clipped[v]) for v in gradients.whole)
        if self.replica is not None:
            self.replica.apply(self._optimizer, whole)
        rows = [(r, clipped[r.variable]) for r in requests if r.variable in clipped]
        dense_effect, rows_effect = self.call.dense, self.call.rows
        if rows_effect is dense_effect:
            pushed = self._deliver(dense_effect, list(whole.items()), rows)
        else:
            pushed = self._deliver(dense_effect, list(whole.items()), [])
            pushed += self._deliver(rows_effect, [], rows)
        return pushed.sent_bytes, tf.add_n(list(pushed.applied))

    def _deliver(self, effect: Effect, whole: DenseValues, rows: RowValues) -> Pushed:
        return deliver(
            effect,
            whole,
            rows,
            self.pulled,
            self.wire,
            self.call.codec_state,
            self.worker,
            after=self.after,
            paced=self.paced,
        )

    def _drop(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Lower the loss scale instead of an update."""
        assert self._optimizer.loss_scale is not None
        self._optimizer.lower_loss_scale(self.pulled.whole)
        if self.replica is not None:
            self.replica.write(self._optimizer.loss_scale.lowered(self.pulled.whole))
        self._skip()
        return tf.ones([], tf.int64), total([], self.wire.num_ps), _zero()

    def _skip(self) -> None:
        for effect in self.call.effects:
            effect.skip(self.pulled.start_versions[effect], self.worker)


def _zero() -> tf.Tensor:
    return tf.zeros([], tf.int64)


def deliver(
    effect: Effect,
    whole: DenseValues,
    rows: RowValues,
    pulled: Pull,
    wire: Wire,
    state: CodecState,
    worker: tf.Tensor,
    *,
    after: Pushed,
    paced: bool = False,
) -> Pushed:
    """Send gradients to their ps, and let them take effect.

    Args:
        effect: how they take effect.
        whole: gradients of whole variables.
        rows: gradients of rows.
        pulled: what they were computed from.
        wire: the format in which they travel.
        state: what the codecs keep on the worker.
        worker: the index of the worker, int64.
        after: a push of what the step assigned; the gradients take effect on it.
        paced: whether the messages to a ps follow one another.
    """
    received, byte_counts = send(
        whole,
        rows,
        wire=wire,
        state=state,
        headers=effect.headers(pulled.start_versions[effect], worker, pulled.whole),
        to_all=effect.reaches_all or effect.optimizer.is_numbered,
        paced=paced,
    )
    in_order = [push.after(after.written.get(push.ps, ())) for push in received]
    applied = effect.take(in_order, pulled.whole)
    sent = total(byte_counts, wire.num_ps)
    return Pushed(dropped=_zero(), sent_bytes=sent, applied=[applied])


def push_written(
    differences: DenseValues,
    values: DenseValues,
    wire: Wire,
    is_assigned: Values | None = None,
) -> Pushed:
    """Write to variables, each on its ps.

    Args:
        differences: what is added to a variable.
        values: what a variable is set to; of several workers' values, the last one counts.
        wire: the format in which parameters and gradients travel, but for these.
        is_assigned: for some of the variables in `values`, whether to set them, a bool scalar.
    """
    perhaps = is_assigned or VariableMap()
    certain = [(v, value) for v, value in values if v not in perhaps]
    replaced = VariableSet(variable for variable, _ in certain)
    received, byte_counts = send([*differences, *certain])
    written: dict[int, Sequence[tf.Operation]] = {}
    for push in received:
        sent = push.decoded()
        # Nothing is to come between what an update of several ops reads and what it writes.
        is_trained = any(each.variable.trainable for each in sent)
        lock = locked(push.ps, push.tensors) if is_trained else contextlib.nullcontext(())
        with lock as released, awaited_on(push.ps):
            for each in sent:
                view = view_of_part(each.variable, each.shard)
                write = view.assign if each.variable in replaced else view.assign_add
                write(each.value)
        written[push.ps] = released
    pushed = dataclasses.replace(_sent(byte_counts, wire), written=written)
    for variable, value in values:
        if variable in perhaps:
            pushed += _set_if(perhaps[variable], variable, value, wire)
    return pushed


def _set_if(
    is_assigned: tf.Tensor, variable: keras.Variable, value: tf.Tensor, wire: Wire
) -> Pushed:
    sent_bytes = tf.cond(
        is_assigned,
        lambda: push_written([], [(variable, value)], wire).sent_bytes,
        lambda: total([], wire.num_ps),
    )
    written = {ps: [sent_bytes.op] for ps in range(wire.num_ps)} if variable.trainable else {}
    return Pushed(dropped=_zero(), sent_bytes=sent_bytes, written=written)


def push_row_differences(differences: RowValues, wire: Wire) -> Pushed:
    """Add to rows of each variable, on their ps, the differences that a worker made to them."""
    received, byte_counts = send([], differences)
    for difference in (d for push in received for d in push.decoded()):
        assert difference.ids is not None
        rows = RowView(difference.variable, difference.shard, difference.ids)
        rows.assign_add(difference.value)
    return _sent(byte_counts, wire)


def _sent(byte_counts: Sequence[ByteCount], wire: Wire) -> Pushed:
    return Pushed(dropped=_zero(), sent_bytes=total(byte_counts, wire.num_ps))
