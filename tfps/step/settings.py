"""How the steps of a program run."""

from __future__ import annotations

import dataclasses

from tfps.step.transfer import Wire


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepSettings:
    """How the steps of a program run.

    Attributes:
        wire: the format in which parameters and gradients travel.
        overlap: whether a worker's next pull and last push are under way while it computes.
        lazy_rows: whether an update leaves alone the rows that a batch did not look up.
        jit_compile: whether XLA compiles what a worker computes.
    """

    wire: Wire
    overlap: bool = False
    lazy_rows: bool = True
    jit_compile: bool = False
