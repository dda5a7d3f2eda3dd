"""One policy for whole variables, and another for the rows of tables."""

from __future__ import annotations

import dataclasses

from typing_extensions import override

from tfps.update.asynchronous import Asynchronous
from tfps.update.policy import Policy, Timing
from tfps.update.synchronous import Synchronous


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseAndRows(Policy):
    """Let gradients of whole variables, and of rows of tables, take effect by two policies.

    By default small dense layers are updated in step, and rows, of which two workers seldom have
    the same, at once. `optimizer.iterations` counts the updates of whole variables.

    Attributes:
        dense: of whole variables.
        rows: of the rows of tables that are pulled by row.
    """

    dense: Policy = dataclasses.field(default_factory=Synchronous)
    rows: Policy = dataclasses.field(default_factory=Asynchronous)

    @override
    def timing(self, num_workers: int) -> Timing:
        dense, rows = self.dense.timing(num_workers), self.rows.timing(num_workers)
        for name, policy, timing in (("dense", self.dense, dense), ("rows", self.rows, rows)):
            if timing.gate is not None or timing.local is not None or timing.rows is not None:
                raise ValueError(
                    f"DenseAndRows({name}={policy!r}): it says when whole steps start, or what "
                    "they are. Give policies that say when gradients take effect: "
                    'Synchronous(...), SemiSynchronous(...), or Asynchronous(above="drop").'
                )
        return dataclasses.replace(dense, rows=rows)
