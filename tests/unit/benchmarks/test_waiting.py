"""The parts of `benchmarks.updates.waiting` that need no cluster."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.updates import bounds, pace, waits
from benchmarks.updates.slowed import BATCH, FEATURES, Found, Speeds
from benchmarks.updates.waiting import Arguments
from tests.unit.benchmarks.made_updates import WORKERS, updates_of
from tfps.update import Asynchronous

SPEEDS = Speeds(batch_ms=0.0, times=5.0)


def found(pull_bytes: int = 100_000, **arguments: Any) -> Found:
    return Found(updates=updates_of(**arguments), steps=100, pull_bytes=pull_bytes)


def test_pace_is_the_median_beside_that_of_even_workers() -> None:
    rates = {pace.EVEN: [10.0, 20.0, 30.0], pace.BACKUP: [17.0, 19.0, 18.5]}
    even, backup = pace.table(rates, SPEEDS, WORKERS).as_records()
    assert (even["of even"], even[">= 0.9"]) == (1.0, "-")
    assert (backup["min"], backup["median"], backup["max"]) == (17.0, 18.5, 19.0)
    assert (backup["of even"], backup[">= 0.9"]) == (0.925, True)
    assert backup["updates"] == ("Synchronous(backup_workers=1), 3 + 1 workers, one slowed")


def test_every_kind_of_bound_is_measured_with_its_bound() -> None:
    policies = bounds.policies(1)
    assert policies["Asynchronous, dropping"] == Asynchronous(max_staleness=1)
    assert policies["Asynchronous, waiting"] == Asynchronous(max_staleness=1, above="wait")


def test_a_staleness_above_its_bound_is_told() -> None:
    of_bounds = {
        ("Asynchronous, dropping", 0): found(staleness=(30,), dropped=2),
        ("Asynchronous, dropping", 1): found(staleness=(30, 1, 1), waited_s=2.0),
    }
    kept, broken = bounds.table(of_bounds, WORKERS).as_records()
    assert (kept["largest"], kept["within"], kept["dropped"]) == (0, True, 8)
    assert (broken["largest"], broken["within"], broken["waited s"]) == (2, False, 8.0)


@pytest.fixture
def of_situations() -> dict[str, dict[str, Found]]:
    of_bounds = {
        "0": found(waited_s=5.0),
        "8": found(10_000, waited_s=1.0),
        waits.ASYNCHRONOUS: found(),
    }
    return {"one": of_bounds, "all": of_bounds}


def test_waiting_and_pulls_are_told_beside_those_without_a_bound(
    of_situations: dict[str, dict[str, Found]],
) -> None:
    in_step, loose, free = waits.table("one", of_situations["one"], WORKERS).as_records()
    assert (in_step["computing s"], in_step["waiting s"], in_step["waiting %"]) == (5.0, 5.0, 50.0)
    assert (in_step["times fewer"], in_step[">= 6"]) == (1.0, "-")
    assert (loose["pull KB"], loose["times fewer"], loose[">= 6"]) == (0.1, 10.0, True)
    assert (free["waiting %"], free["pull KB"]) == (0.0, 1.0)


def test_the_picture_of_waits_is_a_png(
    of_situations: dict[str, dict[str, Found]], tmp_path: Path
) -> None:
    waits.draw(of_situations, tmp_path / "waits.png")
    assert (tmp_path / "waits.png").read_bytes().startswith(b"\x89PNG")


def test_updates_per_second_and_shares_of_time() -> None:
    one = found(waited_s=2.5)
    assert (one.updates_per_s, one.waiting_percent, one.pull_kb_per_step) == (16.0, 25.0, 1.0)


@pytest.mark.parametrize("worker", range(2))
def test_only_the_slowed_worker_has_no_data_where_it_is_left_out(worker: int) -> None:
    context = tf.distribute.InputContext(2, worker)
    batches = SPEEDS.without_slowed()(context).take(3)
    shapes = [(tuple(x.shape), tuple(y.shape)) for x, y in batches]
    assert shapes == ([] if worker == 0 else [((BATCH, FEATURES), (BATCH, 1))] * 3)


def test_the_slowed_worker_sleeps_so_many_times_as_long_before_each_batch() -> None:
    batches = Speeds(batch_ms=1.0, times=50.0).one_slowed()(tf.distribute.InputContext(2, 0))
    started = time.perf_counter()
    assert len(list(batches.take(10))) == 10
    assert time.perf_counter() - started > 0.5


def test_batches_that_are_slow_by_chance_are_about_as_many_as_said() -> None:
    data = SPEEDS.by_chance(0.25)(tf.distribute.InputContext(2, 1))
    again = SPEEDS.by_chance(0.0)(tf.distribute.InputContext(2, 1))
    first = [x.numpy() for x, _ in data.take(200)]
    even = {x.numpy().tobytes() for x, _ in again.take(200)}
    # Slow batches are drawn from a dataset of their own, which begins with the same batches.
    repeated = len(first) - len({x.tobytes() for x in first})
    assert 25 <= repeated <= 75
    assert np.sum([x.tobytes() in even for x in first]) == 200


def test_what_can_be_set_can_be_left_as_it_is() -> None:
    Arguments().check()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workers": 1}, "--workers is 1, but must be at least 2"),
        ({"times": 0.5}, "--times is 0.5, but must be at least 1"),
        ({"bounds": (-1,)}, "A bound is -1"),
        ({"parts": ("pace",), "plot": Path("a.png")}, "--plot draws what --parts waits measures"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Arguments(**changes).check()
