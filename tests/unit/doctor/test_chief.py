"""Which tasks call which, and which links are measured."""

from __future__ import annotations

import pytest

from tests.unit.doctor.sample_job import CHIEF, OTHER_PS, OTHER_WORKER, PS, TASKS, WORKER
from tfps.cluster.spec import Task
from tfps.doctor import chief


def test_workers_call_ps_and_ps_call_workers_and_both_the_chief() -> None:
    assert chief.tasks_called_by(TASKS) == {
        WORKER: (CHIEF, PS, OTHER_PS),
        OTHER_WORKER: (CHIEF, PS, OTHER_PS),
        PS: (CHIEF, WORKER, OTHER_WORKER),
        OTHER_PS: (CHIEF, WORKER, OTHER_WORKER),
    }


def test_nobody_calls_a_chief_or_ps_that_is_not_there() -> None:
    assert chief.tasks_called_by([WORKER, OTHER_WORKER]) == {WORKER: (), OTHER_WORKER: ()}


def test_every_link_is_measured_where_there_is_room() -> None:
    chosen, left_out = chief.choose_links(TASKS, 60)
    assert len(chosen) == len(set(map(frozenset, chosen))) == 4 + 4
    assert left_out == ()


@pytest.mark.parametrize(("num_workers", "num_ps"), [(1, 1), (7, 3), (3, 7), (5, 5)])
def test_the_first_links_reach_every_worker_and_ps(num_workers: int, num_ps: int) -> None:
    workers = [Task(type="worker", index=index) for index in range(num_workers)]
    ps = [Task(type="ps", index=index) for index in range(num_ps)]
    most = max(num_workers, num_ps)
    chosen, left_out = chief.choose_links([CHIEF, *workers, *ps], most)
    assert {task for pair in chosen for task in pair} == {*workers, *ps}
    assert all((one.type, other.type) == ("worker", "ps") for one, other in chosen)
    assert len(chosen) == most
    assert len({*chosen, *left_out}) == num_workers * num_ps + num_workers + num_ps


def test_no_links_without_workers_or_without_room() -> None:
    assert chief.choose_links([CHIEF, PS], 60) == (((CHIEF, PS),), ())
    assert chief.choose_links([CHIEF], 60) == ((), ())
    assert chief.choose_links(TASKS, 0)[0] == ()
