"""Dataclasses from plain data; job specs with faults are in tests/unit/jobs."""

from __future__ import annotations

import dataclasses
import enum

import pytest

from tfps.cluster.spec import Task
from tfps.structure import structure


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Box:
    task: Task | None
    colour: Colour = Colour.RED
    sizes: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    share: float = 0.5


def test_enums_lists_and_nested_dataclasses_are_built() -> None:
    data = {"task": {"type": "ps", "index": 1}, "colour": "blue", "sizes": {"a": [1]}, "share": 1}
    task = Task(type="ps", index=1)
    box = Box(task=task, colour=Colour.BLUE, sizes={"a": [1]}, share=1.0)
    assert structure(data, Box) == (box, ())


def test_a_tuple_of_optional_values_is_built() -> None:
    assert structure([None, "red"], tuple[Colour | None, ...]) == ((None, Colour.RED), ())


def test_unknown_keys_are_faults_unless_they_are_to_be_ignored() -> None:
    data = {"task": None, "mood": "good"}
    _, faults = structure(data, Box)
    assert [fault.where for fault in faults] == ["mood"]
    assert structure(data, Box, ignore_unknown=True) == (Box(task=None), ())


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ({"task": {"type": "boss", "index": 0}}, "task: Task type 'boss' is not one of chief"),
        ({"task": {"type": "boss", "index": "0"}}, "task.index: '0' is text"),
        ({"task": {}}, "task.type: it is missing"),
        ({"task": None, "colour": "bleu"}, "colour: 'bleu' is not one of red, blue. Did you mean"),
        ({"task": None, "colour": ["blue"]}, "colour: ['blue'] is not one of red, blue"),
        ({"task": None, "sizes": {"a": 1}}, "sizes.a: 1 is a number, but must be a list"),
        ({"task": None, "sizes": {"a": [True]}}, "sizes.a[0]: true"),
        ([], "the value is a list, but must be a mapping with keys of task, colour, sizes, share"),
    ],
)
def test_faults_name_the_value_and_what_is_allowed(data: object, fault: str) -> None:
    _, faults = structure(data, Box)
    assert str(faults[0]).startswith(fault)


def test_a_constructor_s_check_is_not_reported_for_a_part_with_other_faults() -> None:
    _, faults = structure({"task": {"type": "boss", "index": "0"}}, Box)
    assert len(faults) == 1
