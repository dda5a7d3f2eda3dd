"""What an update policy decides: how gradients take effect, and when a step may start."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable

import keras

from tfps.optimizer.apply import PsOptimizer
from tfps.update.effect import Effect
from tfps.update.gate import Gate
from tfps.worker.cache import Cache


@dataclasses.dataclass(frozen=True, kw_only=True)
class Window:
    """The steps that a worker takes on its own copy of the parameters, between a pull and a push.

    Attributes:
        steps: how many.
        elasticity: the share of the copy's difference that is pushed, and by which the copy, which
            is kept from push to push, moves back. None pushes the whole difference, and the next
            window begins with what the ps hold.
    """

    steps: int
    elasticity: float | None = None

    @property
    def keeps_copy(self) -> bool:
        """Whether the copy goes on from push to push."""
        return self.elasticity is not None

    @property
    def pushed_share(self) -> float:
        """The share of the copy's difference that is pushed."""
        return 1.0 if self.elasticity is None else self.elasticity


class Policy(abc.ABC):
    """When updates take effect; given to the strategy as `update`.

    A policy makes the objects that its behaviour consists of. Only `effect` is needed: by default a
    step starts at once, pulls, and pushes.
    """

    @property
    def is_plain(self) -> bool:
        """Whether it decides only how gradients take effect: other policies can be built on it."""
        return True

    @property
    def allows_overlap(self) -> bool:
        """Whether a step may pull before the step before it has pushed."""
        return False

    def check_cluster(self, num_workers: int) -> None:
        """Check that the policy makes sense on a cluster of `num_workers` workers.

        Raises:
            ValueError: if it does not.
        """
        return

    def check_optimizer(
        self, optimizer: keras.optimizers.Optimizer, *, lazy_rows: bool = True
    ) -> None:
        """Check that the updates of an optimizer can be made when this policy wants them.

        Args:
            optimizer: an optimizer without wrappers.
            lazy_rows: whether an update leaves alone the rows that a batch did not look up.

        Raises:
            NotImplementedError: if they cannot.
        """
        return

    @abc.abstractmethod
    def effect(self, optimizer: PsOptimizer, num_workers: int) -> Effect:
        """Return how the gradients of an optimizer take effect."""

    def effect_of_rows(self, optimizer: PsOptimizer, num_workers: int, dense: Effect) -> Effect:
        """Return how the gradients of table rows take effect; `dense` is what `effect` returned."""
        return dense

    def gate(self, num_workers: int, make_cache: Callable[[], Cache]) -> Gate | None:
        """Return what lets a step start; None if a step starts at once.

        Args:
            num_workers: how many workers there are.
            make_cache: makes a cache of the parameters that the steps pull whole.
        """
        return None

    def window(self, num_workers: int) -> Window | None:
        """Return the steps between a pull and a push; None if each step pulls and pushes."""
        return None

    def share(self, num_workers: int) -> float:
        """Return the share of all workers that one update stands for: above 0, at most 1."""
        return 1.0 / num_workers


def check_patience(patience_s: float) -> None:
    """Raise ValueError if `patience_s` is not a time to wait for."""
    if not patience_s > 0:
        raise ValueError(f"patience_s={patience_s!r}: give a number of seconds above 0.")
