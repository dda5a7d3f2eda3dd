"""Tasks and cluster specs."""

from __future__ import annotations

import dataclasses

import pytest

from tfps.cluster.spec import ClusterSpec, Task

SPEC = ClusterSpec(
    chief=("a:1",), worker=("b:1", "b:2"), ps=("c:1", "c:2", "c:3"), evaluator=("d:1",)
)


def test_a_task_is_named_by_type_and_index() -> None:
    assert str(Task(type="worker", index=1)) == "worker 1"


def test_a_task_of_unknown_type_is_an_error() -> None:
    with pytest.raises(ValueError, match="'master' is not one of chief, worker, ps, evaluator"):
        Task(type="master", index=0)


def test_a_negative_index_is_an_error() -> None:
    with pytest.raises(ValueError, match="-1 is negative"):
        Task(type="ps", index=-1)


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SPEC.ps = ()  # type: ignore[misc]


def test_a_spec_goes_to_a_mapping_and_back() -> None:
    assert ClusterSpec.from_dict(SPEC.as_dict()) == SPEC


def test_types_without_a_task_are_left_out_of_the_mapping() -> None:
    assert ClusterSpec(ps=("a:1",)).as_dict() == {"ps": ["a:1"]}


def test_iteration_gives_every_task_with_its_address_in_order() -> None:
    named = [(str(task), address) for task, address in SPEC]
    assert named[:3] == [("chief 0", "a:1"), ("worker 0", "b:1"), ("worker 1", "b:2")]
    assert len(named) == 7


def test_the_serving_tasks_are_workers_and_ps() -> None:
    assert {task.type for task, _ in SPEC.serving()} == {"worker", "ps"}
    assert len(SPEC.serving()) == 5


def test_an_evaluator_is_no_part_of_the_cluster_the_chief_connects_to() -> None:
    assert "evaluator" not in SPEC.without_evaluators().as_dict()
    assert SPEC.without_evaluators().serving() == SPEC.serving()


def test_the_address_of_a_task_is_found() -> None:
    assert SPEC.address(Task(type="ps", index=2)) == "c:3"


def test_the_address_of_a_task_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="has 2 worker tasks, so no worker 2"):
        SPEC.address(Task(type="worker", index=2))


def test_the_addresses_of_an_unknown_type_are_an_error() -> None:
    with pytest.raises(ValueError, match="'master' is not one of"):
        SPEC.addresses("master")


@pytest.mark.parametrize(
    ("cluster", "fault"),
    [
        ({"chief": ["a:1", "a:2"]}, "has one chief, but there are 2 addresses"),
        ({"ps": ["a"]}, "Address of ps 0: 'a' has no port"),
        ({"ps": ["a:1"], "worker": ["a:1"]}, "'a:1' is given to both worker 0 and ps 0"),
        ({"master": ["a:1"]}, "Task types master are not among chief, worker, ps, evaluator"),
    ],
)
def test_a_faulty_spec_is_an_error(cluster: dict[str, list[str]], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        ClusterSpec.from_dict(cluster)
