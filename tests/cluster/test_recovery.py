"""Real processes: a lost worker costs nothing but time, a lost ps ends the job with its reason."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from subprocess import Popen

import pytest

from tests.cluster.processes import Processes, processes, program, until
from tfps.cluster.addresses import free_ports
from tfps.cluster.spec import ClusterSpec, Task
from tfps.cluster.tf_config import TFConfig

TASK_COMMAND = [sys.executable, "-m", "tfps", "task", "--chief-timeout-s", "60"]
EXAMPLES = 4000


class Cluster:
    """A chief that runs programs/recovery.py, two workers and a ps."""

    def __init__(self, ours: Processes, fits: int, update: str = "default") -> None:
        self._ours = ours
        chief, *workers, ps = [f"127.0.0.1:{port}" for port in free_ports(4)]
        self._spec = ClusterSpec(chief=(chief,), worker=tuple(workers), ps=(ps,))
        self.chief = self._start("chief", 0, program("recovery.py", str(fits), update))
        self.workers = [self.start_task("worker", index) for index in (0, 1)]
        self.ps = self.start_task("ps", 0)

    def start_task(self, task_type: str, index: int) -> Popen[bytes]:
        return self._start(task_type, index, TASK_COMMAND)

    def replace_worker(self, index: int) -> None:
        """Kill a worker, and start another in its place."""
        self.workers[index].kill()
        self.workers[index].wait()
        self.workers[index] = self.start_task("worker", index)

    def _start(self, task_type: str, index: int, command: list[str]) -> Popen[bytes]:
        task = Task(type=task_type, index=index)
        config = TFConfig(cluster=self._spec, task=task).to_json()
        return self._ours.start(command, environment={"TF_CONFIG": config})

    def said(self, key: str) -> list[dict[str, float]]:
        lines = [json.loads(line) for line in self._ours.out().splitlines() if line[:1] == "{"]
        return [line for line in lines if key in line]

    def until_training(self, fits: int) -> None:
        def said() -> bool:
            assert self.chief.poll() is None, self._ours.err()
            return len(self.said("training")) == fits

        until(said, deadline_s=90)


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_worker_killed_in_the_middle_loses_and_repeats_no_batch(tmp_path: Path) -> None:
    with processes(tmp_path) as ours:
        cluster = Cluster(ours, fits=2)
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
        cluster = Cluster(ours, fits=2, update=update)
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
        cluster = Cluster(ours, fits=1, update="impatient")
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
        cluster = Cluster(ours, fits=1)
        cluster.until_training(fits=1)
        cluster.ps.send_signal(signal.SIGKILL)
        assert cluster.chief.wait(timeout=60) == 1
        assert "UnavailableError" in ours.err()
        assert "/job:ps/replica:0/task:0" in ours.err()
