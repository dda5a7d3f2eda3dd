"""models/lib/settings.py: checks, what a resumed run must share, codecs and policies by name."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, get_args

import pytest

from models.gpt_lm import Settings
from models.lib.inputs import InputError
from models.lib.settings import Pull, Push, Update, codec, falling, policy
from tests.unit.models.guard import run_guarded
from tfps.update import Policy, SemiSynchronous, Synchronous
from tfps.wire import (
    Auto,
    Cast,
    Codec,
    ErrorFeedback,
    Identity,
    Int8,
    OneBit,
    Parameter,
    PowerSGD,
    RandomK,
    TopK,
)

WHOLE = Parameter.of("dense/kernel", (512, 512))
ROWS = Parameter.of("table", (512, 512), rows=True)
BIAS = Parameter.of("dense/bias", (512,))


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


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("float32", Identity()),
        ("bfloat16", Cast("bfloat16")),
        ("float16", Cast("float16")),
        ("int8", Int8()),
    ],
)
def test_a_format_codes_all_but_small_parameters(name: Pull, expected: Codec) -> None:
    given: Any = codec(name)
    assert given.codes_pulls
    chosen = [given.for_parameter(parameter) for parameter in (WHOLE, ROWS, BIAS)]
    assert chosen == [expected, expected, Identity()]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("onebit", OneBit(128)),
        ("topk", TopK(0.05, threshold="sampled")),
        ("randomk", RandomK(0.01)),
        ("powersgd", PowerSGD(8)),
    ],
)
def test_what_leaves_numbers_out_has_feedback_and_rows_are_int8(
    name: Push, expected: Codec
) -> None:
    given: Any = codec(name)
    chosen = [given.for_parameter(parameter, 500) for parameter in (WHOLE, ROWS, BIAS)]
    assert chosen == [ErrorFeedback(expected), Int8(), Identity()]


@pytest.mark.parametrize("name", ["onebit", "powersgd"])
def test_it_begins_with_int8(name: Push) -> None:
    given: Any = codec(name)
    assert [given.for_parameter(WHOLE, step) for step in (0, 249)] == [ErrorFeedback(Int8())] * 2


def test_topk_falls_to_its_fraction_by_quarters() -> None:
    given: Any = codec("topk")
    fractions = [given.for_parameter(WHOLE, step).codec.fraction for step in (0, 249, 250, 500)]
    assert fractions == [0.25, 0.25, 0.0625, 0.05]


def test_every_name_of_the_command_line_gives_a_codec() -> None:
    assert set(get_args(Pull)) < set(get_args(Push))
    assert all(isinstance(codec(name), Codec | Auto) for name in get_args(Push))


def test_auto_is_left_to_the_strategy() -> None:
    assert codec("auto") == Auto()


def test_unknown_codec_is_an_error_that_lists_the_codecs() -> None:
    name: Any = "int4"
    with pytest.raises(ValueError, match="No codec is called 'int4'; there are auto, float32, "):
        codec(name)


def test_settings_become_arguments_of_the_strategy() -> None:
    default = {"pull": Identity(), "push": Identity(), "overlap": False, "update": None}
    assert Settings().strategy_arguments() == default
    coded = Settings(pull="int8", push="bfloat16", overlap=True).strategy_arguments()
    assert coded == {"pull": Int8(), "push": Cast(), "overlap": True, "update": None}
    assert Settings(update="synchronous").strategy_arguments()["update"] == Synchronous()


def test_falling_topk_ends_at_its_fraction() -> None:
    warmup: Any = falling(0.01, 400)
    stages = [(start, stage.fraction) for start, stage in warmup.stages]
    assert stages == [(0, 0.25), (133, 0.0625), (266, 0.015625), (400, 0.01)]
    assert falling(0.25, 400) == TopK(0.25, threshold="sampled")


def test_asynchronous_is_the_strategys_default() -> None:
    assert policy("asynchronous") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("synchronous", Synchronous()),
        ("synchronous-backup", Synchronous(backup_workers=1)),
        ("semi-synchronous", SemiSynchronous()),
    ],
)
def test_name_gives_its_policy(name: Update, expected: Policy) -> None:
    assert policy(name) == expected


def test_every_other_name_of_the_command_line_gives_a_policy() -> None:
    names = [name for name in get_args(Update) if name != "asynchronous"]
    assert all(isinstance(policy(name), Policy) for name in names)


def test_unknown_policy_is_an_error_that_lists_the_policies() -> None:
    name: Any = "in-turns"
    with pytest.raises(ValueError, match="No policy is called 'in-turns'; there are asynchronous"):
        policy(name)


@pytest.mark.parametrize(
    ("recipe", "option", "name", "allowed"),
    [
        ("linear_regression", "--pull", "topk", "'float32', 'bfloat16', 'float16', 'int8', 'auto'"),
        ("mlp", "--push", "int4", "'float32', 'bfloat16', 'float16', 'int8', 'auto', 'onebit'"),
        ("gpt_lm", "--update", "sometimes", "'asynchronous', 'synchronous', 'synchronous-backup'"),
        ("bert_classifier", "--push", "int4", "'float32', 'bfloat16', 'float16', 'int8', 'auto'"),
    ],
)
def test_unknown_name_on_the_command_line_ends_with_2(
    tmp_path: Path, recipe: str, option: str, name: str, allowed: str
) -> None:
    done = run_guarded(recipe, tmp_path, option, name)
    assert (done.returncode, done.stdout) == (2, "")
    message = " ".join(done.stderr.replace("│", " ").split())
    assert f"invalid choice '{name}' for argument '{option}'" in message
    assert allowed in message
    assert not list(tmp_path.iterdir())
