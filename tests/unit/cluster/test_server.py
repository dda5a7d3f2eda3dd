"""The settings of a server, and which tasks may serve; servers that run are in tests/cluster."""

from __future__ import annotations

import pytest

from tfps.cluster import server
from tfps.cluster.spec import ClusterSpec, Task
from tfps.cluster.tf_config import TFConfig
from tfps.errors import TaskTypeError

CLUSTER = ClusterSpec(chief=("a:1",), worker=("b:1",), ps=("c:1",))


def test_a_ps_has_no_gpu_and_a_worker_takes_its_memory_as_it_needs_it() -> None:
    ps, worker = (server.session_config(task_type, {}) for task_type in ("ps", "worker"))
    assert dict(ps.device_count) == {"GPU": 0}
    assert dict(worker.device_count) == {}
    assert worker.gpu_options.allow_growth


@pytest.mark.parametrize(("given", "threads"), [("1", 4), ("4", 4), ("9", 9)])
def test_a_server_has_at_least_four_inter_op_threads(given: str, threads: int) -> None:
    config = server.session_config("ps", {"TF_NUM_INTEROP_THREADS": given})
    assert config.inter_op_parallelism_threads == threads


def test_inter_op_threads_are_enough_where_the_environment_says_nothing() -> None:
    assert server.session_config("ps", {}).inter_op_parallelism_threads >= 4


def test_a_server_computes_with_the_threads_that_the_environment_gives() -> None:
    config = server.session_config("worker", {"TF_NUM_INTRAOP_THREADS": "3"})
    assert config.intra_op_parallelism_threads == 3
    assert server.session_config("worker", {}).intra_op_parallelism_threads == 0


@pytest.mark.parametrize("task_type", ["chief", "evaluator"])
def test_only_a_worker_or_ps_serves(task_type: str) -> None:
    config = TFConfig(cluster=CLUSTER, task=Task(type=task_type, index=0))
    with pytest.raises(TaskTypeError, match=f"{task_type} 0 cannot serve; only a worker or ps"):
        server.serve(config)
