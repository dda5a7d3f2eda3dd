"""One policy for whole variables, and another for the rows of tables."""

from __future__ import annotations

import dataclasses

import keras
from typing_extensions import override

from tfps.optimizer.apply import PsOptimizer
from tfps.update.asynchronous import Asynchronous
from tfps.update.effect import Effect
from tfps.update.policy import Policy
from tfps.update.synchronous import Synchronous


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseAndRows(Policy):
    """Let gradients of whole variables, and of rows of tables, take effect by two policies.

    By default dense layers are updated synchronously, and rows, of which two workers seldom have
    the same, asynchronously. `optimizer.iterations` counts the updates of whole variables.

    Attributes:
        dense: the policy of whole variables.
        rows: the policy of the rows of tables that are pulled by row.
    """

    dense: Policy = dataclasses.field(default_factory=Synchronous)
    rows: Policy = dataclasses.field(default_factory=Asynchronous)

    def __post_init__(self) -> None:
        for name, policy in (("dense", self.dense), ("rows", self.rows)):
            if not policy.is_plain:
                raise ValueError(
                    f"DenseAndRows({name}={policy!r}): it decides when steps start, or what they "
                    "are. Give policies that decide when gradients take effect: "
                    'Synchronous(...), SemiSynchronous(...), or Asynchronous(above="drop").'
                )

    @property
    @override
    def is_plain(self) -> bool:
        return False

    @property
    @override
    def allows_overlap(self) -> bool:
        return self.dense.allows_overlap and self.rows.allows_overlap

    @override
    def check_cluster(self, num_workers: int) -> None:
        self.dense.check_cluster(num_workers)
        self.rows.check_cluster(num_workers)

    @override
    def check_optimizer(
        self, optimizer: keras.optimizers.Optimizer, *, lazy_rows: bool = True
    ) -> None:
        self.dense.check_optimizer(optimizer, lazy_rows=lazy_rows)
        self.rows.check_optimizer(optimizer, lazy_rows=lazy_rows)

    @override
    def effect(self, optimizer: PsOptimizer, num_workers: int) -> Effect:
        return self.dense.effect(optimizer, num_workers)

    @override
    def effect_of_rows(self, optimizer: PsOptimizer, num_workers: int, dense: Effect) -> Effect:
        return self.rows.effect(optimizer.without_count(), num_workers)

    @override
    def share(self, num_workers: int) -> float:
        return self.dense.share(num_workers)
