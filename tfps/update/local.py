"""Local steps: workers train copies of their own, and push the differences."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
from typing_extensions import override

from tfps.optimizer.apply import PsOptimizer
from tfps.update.effect import Effect
from tfps.update.policy import Policy, Window
from tfps.update.synchronous import Synchronous


@dataclasses.dataclass(frozen=True)
class ElasticAveraging:
    """Elastic averaging (EASGD), to be given to `Local` as `outer`.

    Workers keep their copies from push to push. At each push, the parameters on the ps move towards
    the mean of the copies, and each copy moves a little towards the parameters (Zhang et al. 2015,
    "Deep Learning with Elastic Averaging SGD"). An epoch starts with new copies; so does each
    window for rows of tables.

    Attributes:
        moving_rate: how far the parameters move towards the mean of the copies, above 0 and up to
            1 (the paper's beta); a copy moves by this over the number of workers (alpha).
    """

    moving_rate: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.moving_rate <= 1:
            raise ValueError(
                f"moving_rate={self.moving_rate!r}: give a number above 0, and 1 at most."
            )


@dataclasses.dataclass(frozen=True)
class Local(Policy):
    """Let each worker take several steps on a copy of its own, and push the difference.

    A window starts with a pull. The model's optimizer trains the copy with slot variables of the
    worker's own, which stay on the worker from push to push and are not in checkpoints; those of
    table rows travel with the rows. The ps apply the differences by an outer optimizer, whose slot
    variables are not in checkpoints either. Other workers run again what a lost worker had not
    pushed. The codec of the push is applied to the differences.

    `steps_per_execution` is rounded up to whole windows. `optimizer.iterations`, and with it
    learning rate schedules, counts the steps of all workers.

    Attributes:
        steps: the number of steps that a worker takes between a pull and a push.
        outer: how the ps apply differences. None: averaging, the mean of the copies takes effect
            (McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from
            Decentralized Data"). A Keras optimizer: its gradient is the negative difference; SGD
            with a learning rate of 0.7 and Nesterov momentum of 0.9 is DiLoCo (Douillard et al.
            2023, "DiLoCo: Distributed Low-Communication Training of Language Models"). Or
            `ElasticAveraging`.
        update: when differences take effect. `Synchronous()`: in rounds, the mean of one difference
            from each worker. `Asynchronous()`: each difference when it arrives; averaging then
            scales it by the worker's share, one over the number of workers. `SemiSynchronous()`:
            the mean of `quorum` differences, scaled by the share of these workers.
    """

    steps: int
    outer: keras.optimizers.Optimizer | ElasticAveraging | None = None
    update: Policy = dataclasses.field(default_factory=Synchronous)
    _settings: dict[str, Any] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps={self.steps!r}: give 1 or more.")
        if not self.update.is_plain:
            raise ValueError(
                f"Local(update={self.update!r}): a worker pulls and pushes between windows of its "
                "own steps. Give Synchronous(...), SemiSynchronous(...), or Asynchronous(...) with "
                'above="drop".'
            )
        if isinstance(self.outer, keras.optimizers.Optimizer):
            # Read now: its variables are gone when a strategy connects to its cluster.
            object.__setattr__(self, "_settings", self.outer.get_config())

    @property
    @override
    def is_plain(self) -> bool:
        return False

    @override
    def check_cluster(self, num_workers: int) -> None:
        self.update.check_cluster(num_workers)

    @override
    def check_optimizer(
        self, optimizer: keras.optimizers.Optimizer, *, lazy_rows: bool = True
    ) -> None:
        name = type(optimizer).__name__
        if optimizer.gradient_accumulation_steps:
            raise NotImplementedError(
                f"{name}(gradient_accumulation_steps={optimizer.gradient_accumulation_steps}) with "
                "update=Local(...): a push adds up the steps of a worker already. "
                "Leave gradient_accumulation_steps out, and give larger batches or more steps."
            )
        if optimizer.use_ema:
            raise NotImplementedError(
                f"{name}(use_ema=True) with update=Local(...): the average is one over steps, and "
                "the ps see only what several steps have moved. Leave use_ema out."
            )
        if not lazy_rows:
            raise NotImplementedError(
                "lazy_rows=False with update=Local(...): a worker has only the rows that its "
                "batches look up. Leave lazy_rows out."
            )

    @override
    def effect(self, optimizer: PsOptimizer, num_workers: int) -> Effect:
        outer = self.make_outer(num_workers)
        outer.build(optimizer.optimized)
        self.update.check_optimizer(outer)
        return self.update.effect(PsOptimizer(outer), num_workers)

    @override
    def window(self, num_workers: int) -> Window | None:
        if isinstance(self.outer, ElasticAveraging):
            return Window(steps=self.steps, elasticity=self.outer.moving_rate / num_workers)
        return Window(steps=self.steps)

    def make_outer(self, num_workers: int) -> keras.optimizers.Optimizer:
        """Return a new outer optimizer: each model has slot variables of its own."""
        share = self.update.share(num_workers)
        if isinstance(self.outer, keras.optimizers.Optimizer):
            return type(self.outer).from_config(self._settings)
        if self.outer is None:
            return keras.optimizers.SGD(share)
        return keras.optimizers.SGD(share * num_workers)
