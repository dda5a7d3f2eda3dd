"""The calls of `apply` in a step, each with what it needs on the worker and on the ps."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import keras

from tfps import _keras
from tfps.optimizer.apply import PsOptimizer
from tfps.optimizer.limits import check_variables
from tfps.params.variable_map import VariableSet
from tfps.step.discover import Demand
from tfps.step.probe import ApplyCall
from tfps.update.effect import Effect
from tfps.update.policy import Policy
from tfps.worker.accumulate import Accumulator
from tfps.worker.codec_state import CodecState


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StepApply:
    """A call of an optimizer's `apply` in a step, and what it needs on the worker and on the ps.

    Attributes:
        optimizer: the optimizer.
        call: the call.
        dense: how gradients of whole variables take effect.
        rows: how gradients of rows take effect; the same object if there is no difference.
        accumulator: adds up gradients on the worker; None if each is pushed.
        codec_state: what codecs keep on the worker.
    """

    optimizer: PsOptimizer
    call: ApplyCall
    dense: Effect
    rows: Effect
    accumulator: Accumulator | None
    codec_state: CodecState

    @property
    def effects(self) -> list[Effect]:
        """The effects, each once."""
        return [self.dense] if self.rows is self.dense else [self.dense, self.rows]

    @property
    def answered(self) -> list[Effect]:
        """Those of the effects whose ps answer each push."""
        return [effect for effect in self.effects if effect.reaches_all]

    @property
    def variables(self) -> Sequence[keras.Variable]:
        """The variables that it updates."""
        return self.call.variables

    def prepare(self) -> None:
        """Prepare for a trace; to be called at the top of a worker's function."""
        if self.accumulator is not None:
            self.accumulator.prepare()
        self.codec_state.prepare()
        for effect in self.effects:
            effect.prepare()


def step_calls(
    demand: Demand, policy: Policy, num_workers: int, *, lazy_rows: bool, in_windows: bool
) -> tuple[list[StepApply], list[StepApply]]:
    """Return what a step applies.

    Args:
        demand: what the step asks of the parameters; its optimizers are built.
        policy: when updates take effect.
        num_workers: the number of workers.
        lazy_rows: whether an update leaves alone the rows that a batch did not look up.
        in_windows: whether an optimizer has one push for all its calls, at the end of a window.
            Otherwise each call has effects of its own.

    Returns:
        For each optimizer one call of all variables that it updates; and the calls, in order.
    """
    optimizers: dict[keras.optimizers.Optimizer, StepApply] = {}
    calls = []
    for call in demand.applied:
        parts = optimizers.get(call.optimizer)
        if parts is None:
            for inner in _keras.without_wrappers(call.optimizer):
                policy.check_optimizer(inner, lazy_rows=lazy_rows)
            ps_optimizer = PsOptimizer(call.optimizer, lazy_rows=lazy_rows)
            parts = _of_optimizer(demand, call, ps_optimizer, policy, num_workers)
            optimizers[call.optimizer] = parts
        elif not in_windows:
            dense, rows = _effects(parts.optimizer, policy, num_workers)
            parts = dataclasses.replace(parts, dense=dense, rows=rows)
        calls.append(dataclasses.replace(parts, call=call))
    return list(optimizers.values()), calls


def _of_optimizer(
    demand: Demand,
    first: ApplyCall,
    optimizer: PsOptimizer,
    policy: Policy,
    num_workers: int,
) -> StepApply:
    """Return one call of all variables that an optimizer updates; `first` is its first call."""
    calls = [call for call in demand.applied if call.optimizer is first.optimizer]
    variables = list(VariableSet(v for call in calls for v in call.variables))
    dense, rows = _effects(optimizer, policy, num_workers)
    accumulator = None
    if optimizer.steps_per_update > 1:
        accumulator = Accumulator(
            optimizer.steps_per_update, variables, demand.tables, optimizer.global_step
        )
    return StepApply(
        optimizer=optimizer,
        call=dataclasses.replace(first, variables=variables),
        dense=dense,
        rows=rows,
        accumulator=accumulator,
        codec_state=CodecState(),
    )


def _effects(optimizer: PsOptimizer, policy: Policy, num_workers: int) -> tuple[Effect, Effect]:
    dense = policy.effect(optimizer, num_workers)
    return dense, policy.effect_of_rows(optimizer, num_workers, dense)


def build_optimizers(applied: Sequence[ApplyCall]) -> bool:
    """Build the optimizers that are not built yet; return whether there were any."""
    for call in applied:
        check_variables(call.optimizer, call.variables)
    unbuilt = [call for call in applied if not call.optimizer.built]
    for optimizer in dict.fromkeys(call.optimizer for call in unbuilt):
        calls = [call for call in unbuilt if call.optimizer is optimizer]
        optimizer.build(list(VariableSet(v for call in calls for v in call.variables)))
    return bool(unbuilt)
