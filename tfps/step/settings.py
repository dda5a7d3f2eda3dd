"""How the steps of a program run."""

from __future__ import annotations

import dataclasses

from tfps.step.transfer import Wire


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepSettings:
    """How the steps of a program run.

    Attributes:
        wire: the format in which parameters and gradients travel.
        overlap: how many updates of its own worker a pull may come before: with 1 and 2 the last
            push and the next pull are under way while it computes, with 2 at the same time.
        lazy_rows: whether an update leaves alone the rows that a batch did not look up.
        jit_compile: whether XLA compiles what a worker computes.
    """

    wire: Wire
    overlap: int = 0
    lazy_rows: bool = True
    jit_compile: bool = False
