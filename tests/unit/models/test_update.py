"""models/update.py: the policies behind the names that recipes take."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from models.gpt_lm import Settings
from models.update import Update, policy
from tests.unit.models.guard import run_guarded
from tfps.update import Policy, SemiSynchronous, Synchronous


def test_by_default_the_strategys_own_is_left_as_it_is() -> None:
    assert policy(Settings().update) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("synchronous", Synchronous()),
        ("synchronous-backup", Synchronous(backup_workers=1)),
        ("semi-synchronous", SemiSynchronous()),
    ],
)
def test_a_name_gives_its_policy(name: Update, expected: Policy) -> None:
    assert policy(name) == expected


def test_every_other_name_of_the_command_line_gives_a_policy() -> None:
    names = [name for name in get_args(Update) if name != "asynchronous"]
    assert all(isinstance(policy(name), Policy) for name in names)


def test_another_name_is_told_with_those_that_there_are() -> None:
    name: Any = "in-turns"
    with pytest.raises(ValueError, match="No policy is called 'in-turns'; there are asynchronous"):
        policy(name)


@pytest.mark.parametrize("recipe", ["linear_regression", "mlp", "gpt_lm", "bert_classifier"])
def test_a_name_that_is_not_allowed_ends_with_2(tmp_path: Path, recipe: str) -> None:
    done = run_guarded(recipe, tmp_path, "--update", "sometimes")
    assert (done.returncode, done.stdout) == (2, "")
    said = " ".join(done.stderr.replace("│", " ").split())
    assert "invalid choice 'sometimes' for argument '--update'" in said
    assert "'asynchronous', 'synchronous', 'synchronous-backup'" in said
    assert not list(tmp_path.iterdir())
