"""How the steps of a program run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras

from tfps.step.ledger import Rule
from tfps.step.messages import Wire


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocalSteps:
    """Steps that a worker takes on a copy of its own, between a pull and a push.

    Attributes:
        number: how many.
        make_outer: makes the optimizer by which the ps apply what a copy has moved: its gradient is
            what was pulled minus the copy.
        elasticity: the share of that which is pushed, and by which the copy, which is kept from
            push to push, moves back; None pushes all of it, and the copy begins anew.
    """

    number: int
    make_outer: Callable[[], keras.optimizers.Optimizer]
    elasticity: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timing:
    """When gradients take effect, and when a step may start.

    Attributes:
        rule: the rule by which each ps has gradients take effect; None is at once.
        gate: the rule by which one ps lets steps start; None is at once.
        slows_down: whether the learning rate of an update at once is divided by its staleness.
        caches: whether steps compute on parameters that the worker keeps, until the gate has it
            pull them again.
        local: the steps between a pull and a push; None is a pull and a push for each step.
        rows: when the gradients of rows take effect; None is when the others do.
    """

    rule: Rule | None = None
    gate: Rule | None = None
    slows_down: bool = False
    caches: bool = False
    local: LocalSteps | None = None
    rows: Timing | None = None

    @property
    def pulls_in_turn(self) -> bool:
        """Whether what a step pulls depends on the push of the step before."""
        return self.waits_for_gradients or self.gate is not None or self.local is not None

    @property
    def waits_for_gradients(self) -> bool:
        """Whether each ps makes some of its updates at times of its own."""
        return self.rule is not None or (self.rows is not None and self.rows.rule is not None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepSettings:
    """How the steps of a program run.

    Attributes:
        wire: the format in which parameters and gradients travel.
        num_workers: how many workers there are.
        timing: when gradients take effect, and when a step may start.
        overlap: whether the last push and the next pull are under way while a worker computes.
        lazy_rows: whether an update leaves alone the rows that a batch did not look up.
        jit_compile: whether XLA compiles what a worker computes.
        shows_updates: whether logs, and a table after training, tell of the updates.
    """

    wire: Wire
    num_workers: int
    timing: Timing = dataclasses.field(default_factory=Timing)
    overlap: bool = False
    lazy_rows: bool = True
    jit_compile: bool = False
    shows_updates: bool = False
