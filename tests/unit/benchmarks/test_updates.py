"""The parts of `benchmarks.updates` that compare what is learned, and need no cluster."""

from __future__ import annotations

import math
from typing import Any

import keras
import pytest
import tensorflow as tf

from benchmarks.learning.arguments import chosen
from benchmarks.learning.lesson import Curve, Lesson, Scale, in_turn
from benchmarks.learning.results import Results
from benchmarks.updates import classifier, comparison, contenders
from benchmarks.updates import curves as curves_command
from benchmarks.updates import local as local_command
from benchmarks.updates.contenders import ONE_PROCESS, SYNCHRONOUS, Contender, optimizer
from models.lib.labelled_texts import labelled_texts
from models.lib.training import adam
from tests.unit.benchmarks.made_updates import WORKERS, updates_of
from tfps.update import Policy, Synchronous


def lesson(**changes: Any) -> Lesson:
    settings: dict[str, Any] = {
        "title": "texts",
        "scale": Scale(unit="nats", baseline="frequencies", baseline_loss=2.0),
        "epochs": 2,
        "steps_per_epoch": 100,
        "batch_size": 8,
        "learning_rate": 0.01,
        "clip_norm": 0.25,
        "make_model": lambda _: None,
        "training": lambda _: None,
        "held_out": lambda _: None,
        "losses": lambda _: [],
    }
    return Lesson(**{**settings, **changes})


@pytest.fixture
def results() -> Results:
    """One process, and two policies: as good as it, and 5 % above."""
    curve = {"pull_mb": 4.0, "push_mb": 4.0, "seconds": 60.0}
    of_policies = {**curve, "updates": (updates_of(), updates_of(dropped=3, waited_s=5.0))}
    alone = {**curve, "pull_mb": 0.0, "push_mb": 0.0}
    return Results(
        contenders=chosen(
            contenders.policies(WORKERS), ["asynchronous", "semi-synchronous"], "--policies"
        ),
        curves={
            ONE_PROCESS: [Curve(losses=[3.0, 2.0], **alone)],
            "asynchronous": [Curve(losses=[3.1, 2.0], **of_policies)],
            "semi-synchronous": [Curve(losses=[3.1, 2.1], **of_policies)],
        },
        examples=lesson().examples,
        scale=lesson().scale,
        kind="policy",
        versus="one process",
        name="GPT",
    )


def test_every_policy_is_compared_with_one_process_and_may_end_3_percent_above() -> None:
    (first, alone), *others = contenders.policies(WORKERS).items()
    assert (first, alone.make_update, alone.reference) == (ONE_PROCESS, None, None)
    assert {(one.reference, one.allowed_percent) for _, one in others} == {(ONE_PROCESS, 3.0)}


def test_every_policy_of_the_package_takes_part() -> None:
    everyone = contenders.policies(WORKERS).values()
    made = {type(one.make_update()) for one in everyone if one.make_update is not None}
    assert made == set(Policy.__subclasses__())


def test_local_steps_are_compared_with_synchronous_updates_at_2_percent() -> None:
    (first, reference), *others = contenders.local_steps(WORKERS).items()
    assert (first, reference.reference, reference.allowed_percent) == (SYNCHRONOUS, None, None)
    assert {name for name, _ in others} == {
        *("local", "local-4", "local-8", "local-averaging", "local-elastic")
    }
    assert {(one.reference, one.allowed_percent) for _, one in others} == {(SYNCHRONOUS, 2.0)}


def test_a_policy_that_does_not_exist_is_answered_by_all_that_do() -> None:
    with pytest.raises(ValueError, match="--policies: hogwild is not among one process, asynchr"):
        curves_command.Arguments(policies=("hogwild",)).check()


@pytest.mark.parametrize("name", ["synchronous", "semi-synchronous"])
def test_the_rate_of_means_falls_in_as_many_times_fewer_updates(name: str) -> None:
    made = optimizer(contenders.policies(WORKERS)[name], lesson())
    schedule = made.get_config()["learning_rate"]["config"]
    assert schedule["warmup_steps"] + schedule["decay_steps"] == lesson().steps // WORKERS
    assert schedule["warmup_target"] > lesson().learning_rate
    assert made.global_clipnorm == 0.25


def test_one_process_takes_the_rate_and_the_clipping_of_the_recipes() -> None:
    made = optimizer(contenders.policies(WORKERS)[ONE_PROCESS], lesson())
    expected = adam(lesson().learning_rate, lesson().steps, global_clipnorm=0.25)
    rate, recipes = (one.get_config()["learning_rate"]["config"] for one in (made, expected))
    assert rate["warmup_target"] == recipes["warmup_target"]
    assert (made.beta_1, made.global_clipnorm) == (expected.beta_1, expected.global_clipnorm)


@pytest.mark.parametrize(
    ("name", "share"), [("asynchronous", 0.2), ("local-4", 0.125), ("local", 0.5)]
)
def test_the_rate_rises_over_a_share_of_all_examples(name: str, share: float) -> None:
    everyone = {**contenders.policies(WORKERS), **contenders.local_steps(WORKERS)}
    made = optimizer(everyone[name], lesson())
    schedule = made.get_config()["learning_rate"]["config"]
    assert schedule["warmup_steps"] == share * lesson().steps
    assert schedule["warmup_steps"] + schedule["decay_steps"] == lesson().steps


def test_all_that_was_set_is_said() -> None:
    contender = Contender(make_update=Synchronous, batches=2, rate=1.5, betas=(0.9, 0.98))
    assert str(contender) == (
        "Synchronous(backup_workers=0, patience_s=60.0); rate x 1.5, betas 0.9 and 0.98, "
        "warm-up 20 %, batches in an iteration: 2"
    )
    assert "plain Keras" in str(Contender(make_update=None))


def test_an_outer_optimizer_is_said_by_its_settings() -> None:
    said = str(contenders.policies(WORKERS)["local"])
    assert "SGD(learning_rate=0.7, momentum=0.9, nesterov=1)" in said


def test_one_process_takes_the_batches_of_the_workers_in_turn() -> None:
    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        start = 10 * context.input_pipeline_id
        return tf.data.Dataset.range(start, start + 3).repeat()

    batches = in_turn(of_worker, 2).take(7)
    assert [int(batch) for batch in batches] == [0, 10, 1, 11, 2, 12, 0]


def test_tables_tell_losses_updates_and_what_was_trained_with(results: Results) -> None:
    losses, updates, formats = comparison.tables([(lesson(), results)], WORKERS)
    alone, asynchronous, semi = losses.as_records()
    assert (alone["% above"], alone["reached"]) == ("-", "-")
    assert (asynchronous["% above"], asynchronous["reached"]) == (0.0, True)
    assert (semi["% above"], semi["allowed"], semi["reached"]) == (5.0, 3.0, False)
    first, _ = updates.as_records()
    assert (first["updates"], first["staleness: mean"], first["most"]) == (320, 0.25, 1)
    assert (first["dropped"], first["waiting %"]) == (12, 25.0)
    assert [row["policy"] for row in formats.as_records()] == list(results.contenders)


def test_bytes_of_an_example_are_compared_with_synchronous_updates() -> None:
    moved = {SYNCHRONOUS: 4.0, "local": 0.25, "local-averaging": 0.5, "local-4": 1.0}
    everyone = contenders.local_steps(WORKERS)
    results = Results(
        contenders=everyone,
        curves={
            name: [Curve(losses=[2.0], pull_mb=mb, push_mb=mb, seconds=60.0)]
            for name, mb in moved.items()
        },
        examples=[1600],
        scale=lesson().scale,
        kind="policy",
        versus="Synchronous()",
    )
    first, *others = local_command.bytes_per_example(lesson(), results, everyone).as_records()
    assert first["KB"] == 1000.0
    assert [row["times fewer"] for row in others] == [16.0, 8.0, 4.0]
    assert [row["local steps"] for row in others] == [16, 16, 4]
    assert [row[">= 0.875 a step"] for row in others] == [True, False, True]


def test_the_shares_of_classes_in_training_are_the_classifiers_yardstick() -> None:
    train = [("a", "x"), ("b", "x"), ("c", "x"), ("d", "y")]
    data = labelled_texts("texts", train, [("e", "x"), ("f", "y")])
    expected = -(math.log(0.75) + math.log(0.25)) / 2
    assert classifier.class_entropy(data) == pytest.approx(expected)


def test_arguments_that_cannot_be_are_told_before_anything_starts() -> None:
    curves_command.Arguments().check()
    local_command.Arguments().check()
    with pytest.raises(ValueError, match="--classifier-steps-per-epoch is 0, but must be at least"):
        curves_command.Arguments(classifier_steps_per_epoch=0).check()
    with pytest.raises(ValueError, match="--epochs is 0"):
        curves_command.Arguments(epochs=0).check()
    with pytest.raises(ValueError, match="--models is empty"):
        curves_command.Arguments(models=()).check()
    with pytest.raises(ValueError, match="--rate-of-means is 0, but must be above 0"):
        curves_command.Arguments(rate_of_means=0).check()
    with pytest.raises(ValueError, match="asynchronous is not among synchronous, local"):
        local_command.Arguments(policies=("asynchronous",)).check()
    with pytest.raises(ValueError, match="--policies has nobody to compare with others"):
        local_command.Arguments(policies=("synchronous",)).check()


def test_held_out_losses_of_the_classifier_are_those_of_the_history() -> None:
    history = keras.callbacks.History()
    history.history = {"val_loss": [2.0, 1.5]}
    assert classifier.losses(history) == [2.0, 1.5]
