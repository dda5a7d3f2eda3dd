"""What each task of a local job runs, and in which environment."""

from __future__ import annotations

import pytest

from tfps.cluster.processes import plan
from tfps.cluster.spec import Task
from tfps.cluster.tf_config import TFConfig

CLUSTER = plan.cluster_spec(num_ps=2, num_workers=3, ports=range(1, 8), num_evaluators=1)


def planned(
    environment: dict[str, str] | None = None, threads_per_worker: int | None = None
) -> tuple[plan.TaskProcess, ...]:
    return plan.processes(
        CLUSTER,
        ["python", "train.py"],
        environment=environment or {},
        threads_per_worker=threads_per_worker,
    )


def of_type(task_type: str, processes: tuple[plan.TaskProcess, ...]) -> list[plan.TaskProcess]:
    return [process for process in processes if process.task.type == task_type]


def test_every_task_gets_its_own_port() -> None:
    assert CLUSTER.chief == ("127.0.0.1:1",)
    assert CLUSTER.worker == ("127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4")
    assert CLUSTER.ps == ("127.0.0.1:5", "127.0.0.1:6")
    assert CLUSTER.evaluator == ("127.0.0.1:7",)


def test_there_is_no_evaluator_unless_one_is_asked_for() -> None:
    assert plan.cluster_spec(1, 1, [1, 2, 3]).evaluator == ()


def test_every_task_runs_the_command_with_its_own_tf_config() -> None:
    for process in planned():
        assert process.command == ("python", "train.py")
        config = TFConfig.from_environment(process.environment)
        assert config == TFConfig(cluster=CLUSTER, task=process.task)


def test_a_prefix_names_the_task() -> None:
    assert planned()[2].prefix == "[worker:1] "
    assert planned()[2].task == Task(type="worker", index=1)


def test_a_job_does_not_fail_with_its_evaluator() -> None:
    assert {p.task.type for p in planned() if not p.is_needed} == {"evaluator"}


def test_an_inherited_tf_config_is_replaced() -> None:
    for process in planned({"TF_CONFIG": "{}", "HOME": "/home/me"}):
        assert process.environment["TF_CONFIG"] != "{}"
        assert process.environment["HOME"] == "/home/me"


def test_no_ps_sees_a_gpu_whatever_is_inherited() -> None:
    processes = planned({"CUDA_VISIBLE_DEVICES": "0"})
    assert {p.environment["CUDA_VISIBLE_DEVICES"] for p in of_type("ps", processes)} == {"-1"}
    assert {p.environment["CUDA_VISIBLE_DEVICES"] for p in of_type("worker", processes)} == {"0"}


def test_threads_are_set_for_workers_and_evaluators_only() -> None:
    processes = planned(threads_per_worker=3)
    for worker in (*of_type("worker", processes), *of_type("evaluator", processes)):
        assert worker.environment["TF_NUM_INTRAOP_THREADS"] == "3"
        assert worker.environment["OMP_NUM_THREADS"] == "3"
    for other in (*of_type("ps", processes), *of_type("chief", processes)):
        assert "TF_NUM_INTRAOP_THREADS" not in other.environment


@pytest.mark.parametrize("name", ["PYTHONUNBUFFERED", "TF_CPP_MIN_LOG_LEVEL", "GLIBC_TUNABLES"])
def test_what_the_user_has_set_is_kept(name: str) -> None:
    assert all(process.environment[name] == "0" for process in planned({name: "0"}))
    assert all(name in process.environment for process in planned())


def test_tasks_log_no_info_of_tensorflow_unless_the_user_wants_it() -> None:
    assert not any(process.shows_info for process in planned())
    assert all(process.shows_info for process in planned({"TF_CPP_MIN_LOG_LEVEL": "0"}))
