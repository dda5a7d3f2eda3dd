"""Make a case that fails simpler, as long as it fails in the same way."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.fuzz.case import DEFAULT_STEP, Case, Tower
from benchmarks.fuzz.outcome import Outcome

MOST_TRIALS = 60


def reduced(
    case: Case, outcome: Outcome, outcome_of: Callable[[Case], Outcome]
) -> tuple[Case, Outcome]:
    """Return the simplest case that was found to fail like `case`, and how it fails."""
    trials = 0
    progress = True
    while progress:
        progress = False
        for simpler in _simpler(case):
            if trials == MOST_TRIALS:
                return case, outcome
            trials += 1
            tried = outcome_of(simpler)
            if tried.kind == outcome.kind:
                case, outcome, progress = simpler, tried, True
                break
    return case, outcome


def _simpler(case: Case) -> Iterator[Case]:
    """Yield cases with one part less, or one part plainer; larger parts first."""
    plain = {
        "then": (),
        "validates": False,
        "callback": "",
        "weights": "",
        "epochs": 1,
        "steps_per_execution": 1,
        "dtype": "float32",
        "step": DEFAULT_STEP,
        "data": "arrays",
        "optimizer": "keras.optimizers.SGD(0.01)",
    }
    if len(case.towers) > 1:
        yield dataclasses.replace(case, towers=case.towers[:1], merge=None)
        yield dataclasses.replace(case, towers=case.towers[1:], merge=None)
    if len(case.heads) > 1:
        yield dataclasses.replace(case, heads=case.heads[:1])
    for index, (name, _) in enumerate(case.strategy):
        if name != "lazy_rows":  # without it, tables mean to differ from plain Keras's
            yield dataclasses.replace(case, strategy=_without(case.strategy, index))
    for name, value in plain.items():
        if getattr(case, name) != value:
            yield dataclasses.replace(case, **{name: value})
    for index in range(len(case.trunk)):
        yield dataclasses.replace(case, trunk=_without(case.trunk, index))
    for tower in case.towers:
        for index in range(len(tower.blocks)):
            simpler = dataclasses.replace(tower, blocks=_without(tower.blocks, index))
            yield dataclasses.replace(case, towers=_with(case.towers, tower, simpler))
    for head in case.heads:
        if len(head.metrics) > 1:
            simpler_head = dataclasses.replace(head, metrics=head.metrics[-1:])
            heads = tuple(simpler_head if h is head else h for h in case.heads)
            yield dataclasses.replace(case, heads=heads)


def _without(values: tuple[Any, ...], index: int) -> tuple[Any, ...]:
    return values[:index] + values[index + 1 :]


def _with(towers: tuple[Tower, ...], old: Tower, new: Tower) -> tuple[Tower, ...]:
    return tuple(new if tower is old else tower for tower in towers)
