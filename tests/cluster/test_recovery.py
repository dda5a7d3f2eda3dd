"""Real processes: a lost worker costs nothing but time, a lost ps ends the job with its reason."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.cluster.processes import processes, until
from tests.cluster.small_cluster import Cluster

EXAMPLES = 4000


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_worker_killed_in_the_middle_loses_and_repeats_no_batch(tmp_path: Path) -> None:
    with processes(tmp_path) as ours:
        cluster = Cluster(ours, "recovery.py", "2", "default")
        for lost in (0, 1):
            cluster.until_training(fits=lost + 1)
            cluster.replace_worker(lost)
        assert cluster.chief.wait(timeout=120) == 0, ours.err()
        assert cluster.said("distinct") == [{"distinct": 100}]
        for fit in cluster.said("iterations"):
            # A dispatch of 5 steps that was under way is run again; its results count once.
            assert EXAMPLES <= fit["iterations"] <= EXAMPLES + 5
            assert fit["count"] == EXAMPLES
        assert len(cluster.said("iterations")) == 2
        ours.until_gone(deadline_s=15)


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    "update",
    [
        *("synchronous", "semi-synchronous", "drop", "wait", "bounded-staleness", "local"),
        *("local on its own clock", "dense and rows"),
    ],
)
def test_nobody_waits_for_a_worker_that_was_killed(tmp_path: Path, update: str) -> None:
    with processes(tmp_path) as ours:
        cluster = Cluster(ours, "recovery.py", "2", update)
        for lost in (0, 1):
            cluster.until_training(fits=lost + 1)
            cluster.replace_worker(lost)
        assert cluster.chief.wait(timeout=120) == 0, ours.err()
        for fit in cluster.said("iterations"):
            assert fit["count"] == EXAMPLES
            # A dispatch of 5 steps that was under way is run again.
            gradients = fit["gradients"] * (5 if update.startswith("local") else 1)
            assert EXAMPLES <= gradients + fit["dropped"] <= EXAMPLES + 5
            if update == "synchronous":
                # Each update is of one gradient of each worker that took part.
                assert EXAMPLES / 2 <= fit["iterations"] <= fit["gradients"]
        assert len(cluster.said("iterations")) == 2
        ours.until_gone(deadline_s=15)


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_nobody_waits_for_ever_for_a_worker_that_stands_still(tmp_path: Path) -> None:
    with processes(tmp_path) as ours:
        cluster = Cluster(ours, "recovery.py", "1", "impatient")
        cluster.until_training(fits=1)
        cluster.workers[1].send_signal(signal.SIGSTOP)
        until(lambda: "Worker 1 has not pushed for more than" in ours.err(), deadline_s=60)
        until(lambda: "waiting for worker 1" in ours.err(), deadline_s=90)
        cluster.workers[1].send_signal(signal.SIGCONT)
        assert cluster.chief.wait(timeout=60) == 0, ours.err()
        [fit] = cluster.said("iterations")
        assert fit["count"] == EXAMPLES, ours.err()


@pytest.mark.timeout(120)
def test_a_lost_ps_ends_the_chief_with_the_reason(tmp_path: Path) -> None:
    with processes(tmp_path) as ours:
        cluster = Cluster(ours, "recovery.py", "1", "default")
        cluster.until_training(fits=1)
        cluster.ps.send_signal(signal.SIGKILL)
        assert cluster.chief.wait(timeout=60) == 1
        assert "UnavailableError" in ours.err()
        assert "/job:ps/replica:0/task:0" in ours.err()
