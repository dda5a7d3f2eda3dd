"""How the steps of a program run."""

from __future__ import annotations

import dataclasses

from tfps.step.messages import Wire


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepSettings:
    """How the steps of a program run.

    Attributes:
        wire: the format in which parameters and gradients travel.
        overlap: whether the last push and the next pull are under way while a worker computes.
        lazy_rows: whether an update leaves alone the rows that a batch did not look up.
        jit_compile: whether XLA compiles what a worker computes.
    """

    wire: Wire
    overlap: bool = False
    lazy_rows: bool = True
    jit_compile: bool = False
