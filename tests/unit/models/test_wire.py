"""models/wire.py: the codecs behind the names that recipes take."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

import tfps
from models.gpt_lm import Settings
from models.wire import Pull, Push, codec, wire
from tests.unit.models.guard import run_guarded
from tfps.wire import (
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


def test_topk_falls_to_its_fraction() -> None:
    given: Any = codec("topk")
    fractions = [given.for_parameter(WHOLE, step).codec.fraction for step in (0, 249, 250, 500)]
    assert fractions == [0.25, 0.25, 0.0625, 0.05]


def test_every_name_of_the_command_line_gives_a_codec() -> None:
    assert set(get_args(Pull)) < set(get_args(Push))
    assert all(isinstance(codec(name), Codec) or name == "auto" for name in get_args(Push))


def test_auto_is_left_to_the_strategy() -> None:
    assert codec("auto") == "auto"


def test_another_name_is_told_with_those_that_there_are() -> None:
    name: Any = "int4"
    with pytest.raises(ValueError, match="No codec is called 'int4'; there are auto, float32, "):
        codec(name)


def test_settings_become_arguments_of_the_strategy() -> None:
    assert wire(Settings()) == {"pull": Identity(), "push": Identity(), "overlap": False}
    chosen = wire(Settings(pull="int8", push="bfloat16", overlap=True))
    assert chosen == {"pull": Int8(), "push": tfps.wire.Cast(), "overlap": True}


@pytest.mark.parametrize("recipe", ["linear_regression", "mlp", "gpt_lm", "bert_classifier"])
@pytest.mark.parametrize(("option", "name"), [("--pull", "topk"), ("--push", "int4")])
def test_a_name_that_is_not_allowed_ends_with_2(
    tmp_path: Path, recipe: str, option: str, name: str
) -> None:
    done = run_guarded(recipe, tmp_path, option, name)
    assert (done.returncode, done.stdout) == (2, "")
    said = " ".join(done.stderr.replace("│", " ").split())
    assert f"invalid choice '{name}' for argument '{option}'" in said
    assert "'float32', 'bfloat16', 'float16', 'int8', 'auto'" in said
    assert not list(tmp_path.iterdir())
