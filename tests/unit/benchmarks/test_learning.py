"""The parts of `benchmarks.learning` that train nothing: who takes part, what curves say."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.learning import contenders
from benchmarks.learning.__main__ import LEAST_STEPS, Arguments
from benchmarks.learning.arguments import chosen
from benchmarks.learning.lesson import Curve, Scale, order
from benchmarks.learning.results import Results, draw, looks
from models.lib.inputs import InputError
from tfps import wire

STEPS = 1000


@pytest.fixture
def results() -> Results:
    """Float32 three times, one codec within its bound and one beyond it, after two epochs."""
    losses = {
        "float32": [[5.0, 4.0], [5.2, 4.1], [5.4, 3.9]],
        "int8": [[5.3, 4.03]],
        "topk": [[5.5, 4.2]],
    }
    return Results(
        contenders=chosen(contenders.contenders(STEPS), ["int8", "topk"], "--codecs"),
        curves={
            name: [Curve(losses=one, pull_mb=4.0, push_mb=0.5, seconds=60.0) for one in each]
            for name, each in losses.items()
        },
        examples=[100, 200],
        scale=Scale(unit="nats", baseline="unigram distribution", baseline_loss=6.0),
        kind="codec",
        versus="float32",
    )


def test_everybody_is_compared_with_one_who_has_the_same_kind_of_optimizer() -> None:
    everyone = contenders.contenders(STEPS)
    for contender in everyone.values():
        if contender.reference is not None:
            reference = everyone[contender.reference]
            assert reference.reference is None
            assert reference.optimizer[:3] == contender.optimizer[:3]


def test_pulls_leave_nothing_out_and_only_dgc_does_without_the_optimizers_momentum() -> None:
    everyone = contenders.contenders(STEPS)
    for contender in everyone.values():
        assert isinstance(contender.pull, wire.Codec)
        assert contender.pull.codes_pulls
        corrected = isinstance(contender.push, wire.MomentumCorrection)
        assert corrected == (contender.optimizer == "sgd without momentum")


def test_who_is_chosen_comes_with_who_it_is_compared_with() -> None:
    everyone = contenders.contenders(STEPS)
    assert list(chosen(everyone, ["dgc"], "--codecs")) == ["sgd", "dgc"]
    assert list(chosen(everyone, ["topk", "int8"], "--codecs")) == ["float32", "int8", "topk"]
    assert chosen(everyone, [], "--codecs") == everyone
    with pytest.raises(ValueError, match="--codecs: int4 is not among float32, bfloat16, "):
        chosen(everyone, ["int8", "int4"], "--codecs")


def test_medians_are_compared_and_judged_by_what_is_allowed(results: Results) -> None:
    assert results.medians("float32") == [5.2, 4.0]
    assert results.apart("float32") is None
    assert results.apart("int8") == pytest.approx([100 * (5.3 / 5.2 - 1), 0.75])
    verdicts = [results.reached(name) for name in results.contenders]
    assert verdicts == [None, True, False]


def test_a_loss_below_the_references_is_within_any_bound(results: Results) -> None:
    better = Curve(losses=[5.0, 1.0], pull_mb=4.0, push_mb=0.5, seconds=60.0)
    results.curves["int8"][:] = [better]  # type: ignore[index]
    assert results.reached("int8") is True


def test_tables_hold_bytes_losses_spread_and_every_training(results: Results) -> None:
    reference, *_, topk = results.losses("Loss").as_records()
    assert reference["% above"] == reference["reached"] == "-"
    assert (topk["pull MB"], topk["push MB"], topk["200"]) == (4.0, 0.5, 4.2)
    assert (topk["% above"], topk["allowed"], topk["reached"]) == (5.0, 2.0, False)
    (spread,) = results.spreads().as_records()
    assert (spread["codec"], spread["trainings"]) == ("float32", 3)
    assert spread["% apart"] == pytest.approx(100 * 0.2 / 4.0)
    assert [row["200"] for row in results.each().as_records()] == [4.0, 4.1, 3.9, 4.03, 4.2]
    formats = {str(row["codec"]): row for row in results.formats().as_records()}
    assert formats["int8"]["what it is"] == f"adam; pull {wire.Int8()}; push {wire.Int8()}"


def test_all_are_trained_as_often_as_asked_for_and_one_of_them_then_alone() -> None:
    both = ["float32", "int8"]
    assert order(both, 1, "float32", 3) == ["float32", "int8", "float32", "float32"]
    assert order(both, 2, "float32", 1) == ["float32", "int8", "float32", "int8"]
    assert order(["sgd", "dgc"], 1, "float32", 3) == ["sgd", "dgc"]


def test_the_fewest_steps_are_enough_for_every_warm_up() -> None:
    assert contenders.contenders(LEAST_STEPS).keys() == contenders.contenders(STEPS).keys()


@pytest.mark.parametrize("rows", [1, 2])
def test_the_picture_is_a_png_with_a_row_for_each(
    results: Results, tmp_path: Path, rows: int
) -> None:
    draw([results] * rows, tmp_path / "curves.png", within_percent=(1, 2))
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_no_two_lines_look_alike() -> None:
    pictured = looks([*contenders.contenders(STEPS)])
    assert len({(look["color"], look["linestyle"]) for look in pictured.values()}) == len(pictured)


def test_arguments_that_cannot_be_are_told_before_anything_starts() -> None:
    Arguments().check()
    with pytest.raises(ValueError, match="--float32-repeats is 0, but must be at least 1"):
        Arguments(float32_repeats=0).check()
    with pytest.raises(InputError, match="--epochs is 0, but must be at least 1"):
        Arguments(epochs=0).check()
    with pytest.raises(ValueError, match="--epochs times --steps-per-epoch is 15, but must be at"):
        Arguments(epochs=5, steps_per_epoch=3).check()
    with pytest.raises(ValueError, match="is not among"):
        Arguments(codecs=("int4",)).check()
