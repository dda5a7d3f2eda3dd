"""models/settings.py: values that are refused, and what a run that resumes must have."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from models.errors import InputError
from models.gpt_lm import Settings


def test_defaults_are_good() -> None:
    Settings().check()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "--epochs is 0, but must be at least 1"),
        ({"steps_per_epoch": -5}, "--steps-per-epoch is -5"),
        ({"steps_per_execution": 0}, "--steps-per-execution is 0"),
        ({"vocabulary_size": 100}, "--vocabulary-size is 100, but must be at least 512"),
        ({"sequence_length": 1}, "--sequence-length is 1"),
        ({"learning_rate": 0.0}, "--learning-rate is 0.0"),
        ({"learning_rate": float("nan")}, "--learning-rate is nan"),
        ({"seed": -1}, "--seed is -1, but must be at least 0"),
        ({"heads": 0}, "--heads is 0"),
        ({"width": 100, "heads": 3}, "--width is 100, but must be a multiple of --heads, 3"),
        ({"name": ""}, "--name is ''"),
        ({"overlap": True, "steps_per_execution": 1}, "--overlap has no effect with --steps-per"),
        ({"overlap": True, "update": "local"}, "--overlap does not go with --update local"),
        ({"name": "a/b"}, "--name is 'a/b', but must be a plain folder name"),
        ({"name": ".."}, "--name is '..'"),
    ],
)
def test_bad_value_is_named_with_what_is_allowed(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as raised:
        Settings(**changes).check()
    assert message in str(raised.value)


def test_all_bad_values_are_listed() -> None:
    with pytest.raises(InputError) as raised:
        Settings(epochs=0, layers=0, name="a/b").check()
    assert len(str(raised.value).splitlines()) == 3


@pytest.mark.parametrize("changes", [{"epochs": 9}, {"steps_per_execution": 1}, {"data": "x"}])
def test_run_may_resume_with(changes: dict[str, Any]) -> None:
    settings = Settings()
    changed = dataclasses.replace(settings, **changes)
    assert changed.identity(data="abc") == settings.identity(data="abc")


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 64},
        {"dtype": "mixed_bfloat16"},
        {"seed": 7},
        {"pull": "int8"},
        {"push": "topk"},
        {"overlap": True},
        {"update": "synchronous"},
    ],
)
def test_run_may_not_resume_with(changes: dict[str, Any]) -> None:
    settings = Settings()
    changed = dataclasses.replace(settings, **changes)
    assert changed.identity(data="abc") != settings.identity(data="abc")


def test_run_may_not_resume_with_other_data() -> None:
    settings = Settings()
    assert settings.identity(data="abc") != settings.identity(data="xyz")
    assert settings.identity(data="abc", vocabulary="v") != settings.identity(data="abc")
