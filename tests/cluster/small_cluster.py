"""A small cluster of real processes, whose tasks a test kills and starts again."""

from __future__ import annotations

import json
import sys
from subprocess import Popen

from tests.cluster.processes import Processes, program, until
from tfps.cluster.addresses import free_ports
from tfps.cluster.spec import ClusterSpec, Task
from tfps.cluster.tf_config import TFConfig

_TASK_COMMAND = [sys.executable, "-m", "tfps", "task", "--chief-timeout-s", "60"]


class Cluster:
    """A chief, two workers and a ps.

    The chief prints what the caller checks, as JSON lines: of each fit, that training is under way.
    """

    def __init__(self, ours: Processes, *command: str) -> None:
        """Start them all; the chief runs one of `programs/`."""
        self._ours = ours
        chief, *workers, ps = [f"127.0.0.1:{port}" for port in free_ports(4)]
        self._spec = ClusterSpec(chief=(chief,), worker=tuple(workers), ps=(ps,))
        self.chief = self._start("chief", 0, program(*command))
        self.workers = [self.start_task("worker", index) for index in (0, 1)]
        self.ps = self.start_task("ps", 0)

    def start_task(self, task_type: str, index: int) -> Popen[bytes]:
        return self._start(task_type, index, _TASK_COMMAND)

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
