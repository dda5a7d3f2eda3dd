"""The moves of steps that a worker takes on a copy of its own, between one pull and one push."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfps.step.compute import Applied, Computed
from tfps.step.moves import Moves
from tfps.step.push import Pushed, deliver, push_differences, push_row_differences
from tfps.step.step import Trained
from tfps.transport.pull import Pull, RowRequest
from tfps.worker.replica import Replica
from tfps.worker.row_copy import RowCopy, RowUpdate


@dataclasses.dataclass(frozen=True, kw_only=True)
class Looked:
    """What a step computes on.

    Attributes:
        pulled: the values, and the bytes of the rows that were not there before.
        positions: for each table, by `id`, where the rows stand in its row copy.
    """

    pulled: Pull
    positions: Mapping[int, tf.Tensor]


class WindowMoves:
    """The moves of the steps of a window, in one trace of a worker's function."""

    def __init__(self, moves: Moves) -> None:
        """Take the moves of single steps."""
        step = moves.step
        assert step.window is not None
        assert step.replica is not None
        self._moves = moves
        self._step = step
        self._window = step.window
        self._replica: Replica = step.replica
        self._copies: dict[int, RowCopy] = {id(copy.table): copy for copy in step.row_copies}

    def pull(self) -> Pull:
        """Have the copy begin with what the ps hold; one that is elastic goes on as it is."""
        pulled = self._moves.pull_whole()
        for copy in self._copies.values():
            copy.forget()
        kept = []
        if self._window.keeps_copy:
            kept = [v for one in self._step.trained.values() for v in self._whole(one)]
        self._replica.begin(pulled.values, keep=kept)
        return pulled

    def _whole(self, trained: Trained) -> list[keras.Variable]:
        return [v for v in trained.variables if id(v) not in self._copies]

    def look_up(self, batch: Any) -> Looked:
        """Return what a step on `batch` computes on; rows that the copy lacks are pulled."""
        demand, moves = self._step.demand, self._moves
        nothing = tf.zeros([moves.wire.num_ps, 2], tf.int64)
        pulled = Pull(
            whole=self._replica.read(),
            rows=[],
            requests=[],
            received_bytes=nothing,
            sent_bytes=nothing,
        )
        positions = {}
        for table, lookups in zip(demand.tables, demand.row_ids(batch), strict=True):
            rows, positions[id(table)], one = self._copies[id(table)].look_up(lookups, moves.wire)
            pulled = dataclasses.replace(
                pulled,
                rows=[*pulled.rows, (table, rows)],
                received_bytes=pulled.received_bytes + one.received_bytes,
                sent_bytes=pulled.sent_bytes + one.sent_bytes,
            )
        return Looked(pulled=pulled, positions=positions)

    def compute(self, batch: Any, looked: Looked, metrics: Sequence[tf.Tensor]) -> Computed:
        """Run the model on `batch`."""
        return self._moves.compute(batch, looked.pulled, metrics)

    def metrics(self, computed: Computed) -> list[tf.Tensor]:
        """Return the metric state after a step."""
        return self._moves.metrics(computed)

    def follow(self, computed: Computed, looked: Looked) -> tf.Tensor:
        """Have the copy take the step; return how many updates were dropped, int64.

        Gradients that are not finite are dropped, where a loss scale is lowered for them.
        """
        self._replica.write({id(v): computed.values[id(v)] for v in self._step.written})
        dropped = tf.zeros([], tf.int64)
        for applied in computed.applied:
            dropped += self._follow(self._step.trained[id(applied.optimizer)], applied, looked)
        return dropped

    def _follow(self, trained: Trained, applied: Applied, looked: Looked) -> tf.Tensor:
        made, values = trained.optimizer, looked.pulled.values
        gradients = made.unscaled(applied.gradients, values)

        def step() -> tf.Tensor:
            clipped = made.clipped(gradients)
            rows: list[RowUpdate] = [
                copy.update(looked.positions[key], clipped[key])
                for key, copy in self._copies.items()
                if key in clipped
            ]
            whole = {key: g for key, g in clipped.items() if key not in self._copies}
            self._replica.follow(made, whole, rows)
            return tf.zeros([], tf.int64)

        def drop() -> tf.Tensor:
            assert made.loss_scale is not None
            self._replica.write(made.loss_scale.lowered(values))
            return tf.ones([], tf.int64)

        good = made.are_good(gradients)
        return step() if good is None else tf.cond(good, step, drop)

    def push(self, pulled: Pull) -> Pushed:
        """Send what the copy has moved since `pulled`, and have the outer optimizer apply it."""
        share = 1 / self._step.num_workers
        written = [
            (v, self._moved(v, pulled) * (tf.cast(share, v.dtype) if _is_real(v) else 1))
            for v in self._step.written
        ]
        counted = [(v, self._moved(v, pulled)) for v in self._step.global_steps]
        pushed = push_differences([*written, *counted], self._moves.wire)
        for trained in self._step.trained.values():
            pushed += self._push(trained, pulled, share)
        return pushed

    def _push(self, trained: Trained, pulled: Pull, share: float) -> Pushed:
        """Push what belongs to one optimizer: to the outer one, a gradient points backwards."""
        moves, scale = self._moves, trained.optimizer.loss_scale
        if scale is not None:
            scale.assign({id(v): self._replica.value(v) for v in scale.variables})
        backwards = {id(v): -self._moved(v, pulled) for v in self._whole(trained)}
        if self._window.keeps_copy:
            backwards = {key: g * self._window.pushed_share for key, g in backwards.items()}
            own = {id(v): self._replica.value(v) for v in self._whole(trained)}
            self._replica.write({key: own[key] + g for key, g in backwards.items()})
        rows: list[tuple[RowRequest, tf.Tensor]] = []
        slots: list[tuple[RowRequest, tf.Tensor]] = []
        for copy in self._copies.values():
            if any(copy.table is v for v in trained.variables):
                of_table, *of_slots = copy.moved()
                rows.append((of_table[0], of_table[1] * self._window.pushed_share))
                slots.extend((request, -moved * share) for request, moved in of_slots)
        pushed = push_row_differences(slots, moves.wire)
        whole = [(v, backwards[id(v)]) for v in self._whole(trained)]
        return pushed + deliver(
            trained.dense,
            whole,
            rows,
            pulled,
            moves.wire,
            trained.codec_state,
            moves.worker,
            paced=moves.paced,
        )

    def _moved(self, variable: keras.Variable, pulled: Pull) -> tf.Tensor:
        return self._replica.value(variable) - pulled.values[id(variable)]


def _is_real(variable: keras.Variable) -> bool:
    return bool(tf.as_dtype(variable.dtype).is_floating)
