"""What an update policy says: when gradients take effect, and when a step may start."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable

import keras

from tfps import _keras
from tfps.update.ledger import Rule


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


def check_patience(patience_s: float) -> None:
    """Raise ValueError if it is no time to wait for."""
    if not patience_s > 0:
        raise ValueError(f"patience_s={patience_s!r}: give a number of seconds above 0.")


class Policy(abc.ABC):
    """When updates take effect; it is given to the strategy as `update`."""

    @abc.abstractmethod
    def timing(self, num_workers: int) -> Timing:
        """Return what it means on a cluster of so many workers.

        Raises:
            ValueError: if it means nothing there.
        """


def check_timing(
    optimizer: keras.optimizers.Optimizer, timing: Timing, *, lazy_rows: bool = True
) -> None:
    """Check that an optimizer's updates can be made when an update policy wants them.

    Raises:
        NotImplementedError: if that is not so.
    """
    for inner in _keras.without_wrappers(optimizer):
        if timing.local is not None:
            _check_local(inner, lazy_rows=lazy_rows)
        elif timing.waits_for_gradients:
            _check_apart(inner)


def _check_apart(optimizer: keras.optimizers.Optimizer) -> None:
    """Check that each ps can make the updates of `optimizer` at times of its own.

    Raises:
        NotImplementedError: if that is not so.
    """
    if _keras.has_shared_update(optimizer):
        raise NotImplementedError(
            f"{type(optimizer).__name__} has a number that all ps update together, and by "
            "this update policy each of them makes its updates by itself. Take Asynchronous() "
            "without max_staleness, BoundedStaleness or Local, or another optimizer, such as Adam."
        )


def _check_local(optimizer: keras.optimizers.Optimizer, *, lazy_rows: bool) -> None:
    """Check that a worker can take steps of `optimizer` on a copy of its own.

    Raises:
        NotImplementedError: if that is not so.
    """
    name = type(optimizer).__name__
    if optimizer.gradient_accumulation_steps:
        raise NotImplementedError(
            f"{name}(gradient_accumulation_steps={optimizer.gradient_accumulation_steps}) with "
            "update=Local(...): what is pushed is added up already, over the steps of a worker. "
            "Leave gradient_accumulation_steps out, and give larger batches or more steps."
        )
    if optimizer.use_ema:
        raise NotImplementedError(
            f"{name}(use_ema=True) with update=Local(...): the average is one over steps, and the "
            "ps see only what several steps have moved. Leave use_ema out."
        )
    if not lazy_rows:
        raise NotImplementedError(
            "lazy_rows=False with update=Local(...): a worker has only the rows that its batches "
            "look up. Leave lazy_rows out."
        )
