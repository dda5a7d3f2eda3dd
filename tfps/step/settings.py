"""How the steps of a program run."""

from __future__ import annotations

import dataclasses

from tfps.step.ledger import Rule
from tfps.step.messages import Wire


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timing:
    """When gradients take effect, and when a step may start.

    Attributes:
        rule: the rule by which each ps has gradients take effect; None is at once.
        gate: the rule by which one ps lets steps start; None is at once.
        slows_down: whether the learning rate of an update at once is divided by its staleness.
    """

    rule: Rule | None = None
    gate: Rule | None = None
    slows_down: bool = False


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
