"""benchmarks.fuzz draws the same programs from the same seeds, and makes them simpler."""

from __future__ import annotations

import ast
import dataclasses

import pytest

from benchmarks.fuzz import reduce
from benchmarks.fuzz.case import Case
from benchmarks.fuzz.draw import draw
from benchmarks.fuzz.outcome import Outcome
from benchmarks.fuzz.source import program


@pytest.mark.parametrize("workers", [1, 3])
def test_a_seed_is_a_program_and_always_the_same(workers: int) -> None:
    for seed in range(300):
        case = draw(seed, workers=workers)
        names = {n.name for n in ast.parse(program(case)).body if isinstance(n, ast.FunctionDef)}
        assert names == {"build", "data", "fit"}
        assert draw(seed, workers=workers) == case


def test_seeds_differ() -> None:
    assert len({program(draw(seed, workers=1)) for seed in range(300)}) == 300


def test_a_case_is_reduced_to_what_fails() -> None:
    seed = next(s for s in range(300) if "GRU" in program(draw(s, workers=1)))
    case = draw(seed, workers=1)

    def outcome_of(tried: Case) -> Outcome:
        return Outcome("wrong" if "GRU" in program(tried) else "equal")

    simple, outcome = reduce.reduced(case, Outcome("wrong"), outcome_of)
    assert outcome.kind == "wrong"
    assert len(program(simple)) < len(program(case))
    assert (simple.epochs, simple.then) == (1, ())
    assert dict(simple.strategy).keys() <= {"lazy_rows"}
    assert dataclasses.replace(simple, trunk=()) == simple or "GRU" in str(simple.trunk)
