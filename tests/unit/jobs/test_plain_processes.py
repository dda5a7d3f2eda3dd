"""Tasks as plain processes: target tf-config, and the parts of a spec that have no effect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.jobs.specs import spec
from tfps.cluster.tf_config import TFConfig
from tfps.errors import JobSpecError
from tfps.jobs.plain_processes import left_out, render
from tfps.jobs.platforms import Hyperparameter, Tuning
from tfps.jobs.rendering import write
from tfps.jobs.role import Role, Toleration
from tfps.jobs.storage import Mount, Volume

ROLES = {
    "chief": Role(hosts=("a",), command=("python", "chief.py")),
    "worker": Role(replicas=2, gpus=1, cpu=4, hosts=("b", "b"), env={"B": "role"}, restarts=7),
    "ps": Role(hosts=("c",)),
}


def documents(**fields: Any) -> dict[str, Any]:
    return {document["task"]: document for document in render(spec(ROLES, **fields)).documents}


def test_there_is_a_document_for_each_task() -> None:
    result = documents()
    assert list(result) == ["chief:0", "worker:0", "worker:1", "ps:0"]
    assert [document["host"] for document in result.values()] == ["a", "b", "b", "c"]
    assert result["chief:0"]["command"] == ["python", "chief.py"]
    assert result["worker:1"]["restarts"] == 7


def test_each_tf_config_is_read_as_that_task_of_one_cluster() -> None:
    configs = [TFConfig.from_json(result["env"]["TF_CONFIG"]) for result in documents().values()]
    assert [f"{config.task.type}:{config.task.index}" for config in configs] == list(documents())
    assert len({json.dumps(config.cluster.as_dict()) for config in configs}) == 1
    assert configs[0].cluster.worker == ("b:2222", "b:2223")


def test_the_environment_has_threads_gpus_and_what_the_spec_sets() -> None:
    result = documents(env={"A": "job", "B": "job", "TF_CPP_MIN_LOG_LEVEL": "0"})
    worker, ps = result["worker:1"]["env"], result["ps:0"]["env"]
    assert (worker["OMP_NUM_THREADS"], worker["TF_NUM_INTRAOP_THREADS"]) == ("4", "4")
    assert (worker["CUDA_VISIBLE_DEVICES"], ps["CUDA_VISIBLE_DEVICES"]) == ("1", "-1")
    assert (worker["A"], worker["B"], ps["B"]) == ("job", "role", "job")
    assert worker["TF_CPP_MIN_LOG_LEVEL"] == "0"


def test_a_gpu_number_that_the_spec_sets_is_kept() -> None:
    result = documents(env={"CUDA_VISIBLE_DEVICES": "5"})
    assert result["worker:0"]["env"]["CUDA_VISIBLE_DEVICES"] == "5"


def test_checkpoints_are_where_the_spec_says() -> None:
    result = documents(checkpoint_dir="gs://bucket/run")
    assert {task["env"]["TFPS_CHECKPOINT_DIR"] for task in result.values()} == {"gs://bucket/run"}


def test_as_json_the_tasks_are_an_array() -> None:
    [chief, *_] = json.loads(write(render(spec(ROLES)), "json"))
    assert json.loads(chief["env"]["TF_CONFIG"])["task"] == {"type": "chief", "index": 0}


def test_what_ends_a_job_in_time_is_told_to_be_missing() -> None:
    assert [fault.where for fault in render(spec(ROLES, timeout_s=5)).left_out] == [
        "image",
        "timeout_s",
    ]


def test_a_role_without_hosts_beside_others_is_a_fault() -> None:
    with pytest.raises(JobSpecError, match=r"roles\.worker: it has no hosts"):
        render(spec({"chief": Role(hosts=("a",)), "ps": Role(hosts=("b",))}))


def test_what_has_no_effect_is_named() -> None:
    job = spec(
        {
            "worker": Role(
                image="mine",
                spot=True,
                minimum_replicas=1,
                node_selector={"a": "b"},
                tolerations=(Toleration(operator="Exists"),),
                disk_gib=3,
                mounts=(Mount(volume="scratch", path="/scratch"),),
                hosts=("a",),
            )
        },
        labels={"team": "a"},
        volumes={"scratch": Volume(empty_dir_gib=1), "same": Volume(host_path="/same")},
        mounts=(Mount(volume="same", path="/same"),),
        tuning=Tuning(metric="loss", parameters={"rate": Hyperparameter(values=(1, 2))}),
    )
    result = {fault.where: fault.sentence for fault in left_out(job, hosts="not here.")}
    assert list(result) == [
        "image",
        "labels",
        "volumes.scratch",
        "roles.worker.image",
        "roles.worker.minimum_replicas",
        "roles.worker.disk_gib",
        "roles.worker.node_selector",
        "roles.worker.tolerations",
        "roles.worker.spot",
        "roles.worker.hosts",
        "tuning",
    ]
    assert result["volumes.scratch"] == "nothing mounts it: tasks find at /scratch what is there."
    assert result["roles.worker.hosts"] == "not here."


def test_of_a_spec_that_asks_for_nothing_special_nothing_is_left_out() -> None:
    job = spec(image=None, port=4000, timeout_s=60, env={"A": "b"})
    assert list(left_out(job)) == []
