"""How the steps of a program run."""

from __future__ import annotations

import dataclasses

from tfps.transport.messages import Wire
from tfps.update.asynchronous import Asynchronous
from tfps.update.policy import Policy


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepSettings:
    """How the steps of a program run.

    Attributes:
        wire: the format in which parameters and gradients travel.
        num_workers: how many workers there are.
        policy: when updates take effect.
        overlap: whether the last push and the next pull are under way while a worker computes.
        lazy_rows: whether an update leaves alone the rows that a batch did not look up.
        jit_compile: whether XLA compiles what a worker computes.
        shows_updates: whether logs, and a table after training, tell of the updates.
    """

    wire: Wire
    num_workers: int
    policy: Policy = dataclasses.field(default_factory=Asynchronous)
    overlap: bool = False
    lazy_rows: bool = True
    jit_compile: bool = False
    shows_updates: bool = False
