"""What a hyperparameter tuning job searches."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Literal

from tfps.errors import Fault
from tfps.jobs import checks, names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parameter:
    """The values that a parameter may take: a range, or a list.

    Attributes:
        minimum: The range's lower end.
        maximum: The range's upper end.
        integer: Whether only the whole numbers of the range are tried.
        scale: How the range is searched; "log" and "reverse_log" take positive numbers.
        values: The list, all numbers (in ascending order) or all text.
    """

    minimum: float | None = None
    maximum: float | None = None
    integer: bool = False
    scale: Literal["linear", "log", "reverse_log"] = "linear"
    values: tuple[float | str, ...] = ()

    def __post_init__(self) -> None:
        """Check the fields."""
        checks.check(self._list_faults() if self.values else self._range_faults())

    @property
    def is_categorical(self) -> bool:
        """Whether the values are text."""
        return any(isinstance(value, str) for value in self.values)

    def _list_faults(self) -> Iterator[Fault]:
        if self.minimum is not None or self.maximum is not None or self.integer:
            yield Fault((), "a parameter has values and a range. Give one of the two.")
        if self.is_categorical and not all(isinstance(value, str) for value in self.values):
            yield Fault(
                ("values",),
                "numbers and text are mixed. Put the numbers in quotes, too, or give numbers only.",
            )
        elif not self.is_categorical and list(self.values) != sorted(self.values):
            yield Fault(("values",), "the numbers are not in ascending order. Sort them.")
        yield from checks.repeated("values", self.values)

    def _range_faults(self) -> Iterator[Fault]:
        if self.minimum is None or self.maximum is None:
            yield Fault((), "a parameter has neither values nor both minimum and maximum.")
            return
        if not self.minimum < self.maximum:
            yield Fault(
                ("minimum",),
                f"{self.minimum:g} is not below the maximum, {self.maximum:g}. Swap them.",
            )
        if self.scale != "linear" and self.minimum <= 0:
            yield Fault(
                ("minimum",),
                f"{self.minimum:g} has no logarithm, which scale {self.scale} needs. "
                "Give more than 0, or scale: linear.",
            )
        if self.integer:
            for name, value in (("minimum", self.minimum), ("maximum", self.maximum)):
                if value != int(value):
                    yield Fault(
                        (name,),
                        f"{value:g} is not whole. Write {int(value)}, or leave out integer: true.",
                    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tuning:
    """A search for the best parameters: each trial is the whole job, with other arguments.

    Attributes:
        metric: What trials report (see `tfps.ReportMetric`), e.g. "val_loss".
        goal: Whether less or more of it is better.
        trials: Number of trials.
        parallel_trials: How many run at the same time.
        failed_trials: When so many have failed, the search has; None leaves it to the platform.
        algorithm: How the next values are chosen.
        parameters: The chief's program gets `--KEY=VALUE` for each.
    """

    metric: str
    goal: Literal["minimize", "maximize"] = "minimize"
    trials: int = 10
    parallel_trials: int = 1
    failed_trials: int | None = None
    algorithm: Literal["bayesian", "random", "grid"] = "bayesian"
    parameters: Mapping[str, Parameter]

    def __post_init__(self) -> None:
        """Check the fields."""
        checks.check(self._faults())

    def _faults(self) -> Iterator[Fault]:
        yield from checks.at_least("trials", self.trials, 1)
        yield from checks.at_least("parallel_trials", self.parallel_trials, 1)
        yield from checks.at_least("failed_trials", self.failed_trials, 1)
        for name in ("parallel_trials", "failed_trials"):
            number = getattr(self, name)
            if number is not None and number > self.trials:
                yield Fault(
                    (name,),
                    f"{number} is more than the {self.trials} trials. Give at most as many.",
                )
        yield from checks.form("metric", self.metric, names.parameter_fault)
        if not self.parameters:
            yield Fault(("parameters",), "there is nothing to search. Give at least one.")
        yield from checks.keys("parameters", self.parameters, names.parameter_fault)
        if self.algorithm == "grid":
            for name, parameter in self.parameters.items():
                if not parameter.values and not parameter.integer:
                    yield Fault(
                        ("parameters", name), "a grid needs steps. Give values, or integer: true."
                    )
