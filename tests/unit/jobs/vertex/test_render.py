"""A job for Vertex AI: google-cloud-aiplatform's own types take every form of it."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from typing import Any

import pytest
from google.cloud.aiplatform_v1 import StudySpec

from tests.unit.jobs.vertex.renderings import document, job, pool, round_trip
from tfps.jobs.platforms import Hyperparameter, Tuning, Vertex
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec
from tfps.jobs.storage import Mount, Nfs, Volume

NETWORK = "projects/12345/global/networks/training"
SEARCH = Tuning(metric="val_loss", parameters={"seed": Hyperparameter(minimum=1, maximum=9)})
RUNS: dict[str, Any] = {
    "checkpoint_dir": "/gcs/bucket/runs",
    "volumes": {"runs": Volume(gcs_bucket="bucket")},
    "mounts": (Mount(volume="runs", path="/gcs/bucket"),),
}

WORKERS = {
    "no GPUs": Role(replicas=16, cpu=16, memory_gib=64, disk_gib=500),
    "an L4": Role(replicas=2, cpu=8, memory_gib=32, gpus=1, gpu_type="nvidia-l4"),
    "any GPUs": Role(gpus=4),
    "A100s": Role(machine_type="a2-ultragpu-4g", gpus=4, env={"NCCL_DEBUG": "INFO"}),
    "its own image": Role(image="registry/other@sha256:00", command=("serve", "--fast")),
}
FIELDS: dict[str, dict[str, Any]] = {
    "few fields": {},
    "many fields": {
        "labels": {"team": "language-models"},
        "env": {"A": "", "B": "b"},
        "vertex": Vertex(
            project="my-project",
            location="europe-west4",
            service_account="trainer@my-project.example",
            network=NETWORK,
            base_output_dir="gs://bucket/runs",
            tensorboard="projects/1/locations/europe-west4/tensorboards/2",
            web_access=True,
        ),
        **RUNS,
    },
}


@pytest.mark.parametrize("of_all", [{}, {"spot": True}, {"restarts": 0}], ids=str)
@pytest.mark.parametrize("evaluator", [{}, {"evaluator": Role()}], ids=["", "evaluator"])
@pytest.mark.parametrize("tuning", [None, SEARCH], ids=["", "search"])
@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)
@pytest.mark.parametrize("worker", WORKERS.values(), ids=WORKERS)
def test_a_document_is_parsed_and_comes_back_equal(
    worker: Role,
    fields: dict[str, Any],
    tuning: Tuning | None,
    evaluator: dict[str, Role],
    of_all: dict[str, Any],
) -> None:
    roles = {"chief": Role(), "ps": Role(replicas=2), "worker": worker, **evaluator}
    roles = {name: dataclasses.replace(role, **of_all) for name, role in roles.items()}
    storage = RUNS if evaluator else {}
    rendered = document(job(roles, tuning=tuning, **{**storage, **fields}))
    assert round_trip(rendered) == rendered


def test_a_small_job() -> None:
    environment = {
        "CUDA_VISIBLE_DEVICES": "-1",
        "OMP_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
    }
    rendered = document(job())
    assert rendered["displayName"] == "job"
    assert list(rendered) == ["displayName", "jobSpec"]
    job_spec = rendered["jobSpec"]
    assert job_spec["scheduling"] == {"timeout": "3600s"}
    for pool_spec in job_spec["workerPoolSpecs"]:
        entries = pool_spec["containerSpec"].pop("env")
        assert environment.items() <= {entry["name"]: entry["value"] for entry in entries}.items()
        assert pool_spec == {
            "machineSpec": {"machineType": "n2-highmem-2"},
            "replicaCount": 1,
            "containerSpec": {
                "imageUri": "tfps:0.1.0",
                "command": ["python"],
                "args": ["train.py"],
            },
        }


def test_pools_come_in_the_order_that_gives_them_their_task_type() -> None:
    roles = {
        "evaluator": Role(cpu=4),
        "ps": Role(replicas=2),
        "worker": Role(replicas=3),
        "chief": Role(cpu=8),
    }
    pools = document(job(roles, checkpoint_dir="gs://bucket/runs"))["jobSpec"]["workerPoolSpecs"]
    assert [pool_spec["replicaCount"] for pool_spec in pools] == [1, 3, 2, 1]
    assert pools[0]["machineSpec"] == {"machineType": "n2-standard-8"}
    assert pools[3]["machineSpec"] == {"machineType": "n2-standard-4"}


def test_a_document_is_the_same_whatever_the_order_of_variables() -> None:
    item = document(job(env={"A": "1", "B": "2"}))
    other = document(job(env={"B": "2", "A": "1"}))
    assert repr(item) == repr(other)


@pytest.mark.parametrize(("disk_gib", "size_gb"), [(0.5, 100), (100.0, 100), (100.1, 101)])
def test_a_disk_has_at_least_what_is_asked_for(disk_gib: float, size_gb: int) -> None:
    assert pool(Role(disk_gib=disk_gib))["diskSpec"] == {"bootDiskSizeGb": size_gb}


def test_a_share_is_mounted_where_vertex_ai_mounts_shares() -> None:
    rendered = pool(
        Role(),
        volumes={"data": Volume(nfs=Nfs(server="10.0.0.7", path="/exports/data"))},
        mounts=(Mount(volume="data", path="/mnt/nfs/data/"),),
        vertex=Vertex(network=NETWORK),
    )
    assert rendered["nfsMounts"] == [
        {"server": "10.0.0.7", "path": "/exports/data", "mountPoint": "data"}
    ]


def test_a_bucket_is_there_by_itself() -> None:
    rendered = pool(Role(), **RUNS)
    assert "nfsMounts" not in rendered
    assert {"name": "TFPS_CHECKPOINT_DIR", "value": "/gcs/bucket/runs"} in (
        rendered["containerSpec"]["env"]
    )


def test_restarts_are_disabled_when_no_role_has_any() -> None:
    roles = {name: Role(restarts=0) for name in ("chief", "ps", "worker")}
    assert document(job(roles))["jobSpec"]["scheduling"]["disableRetries"] is True


def test_a_worker_that_restarts_does_not_restart_the_job() -> None:
    assert "restartJobOnWorkerRestart" not in document(job())["jobSpec"]["scheduling"]


def test_trials_have_folders_of_their_own() -> None:
    script = "import os, sys; print(os.environ['TFPS_CHECKPOINT_DIR'], sys.argv[1:])"
    program = (sys.executable, "-c", script, "--name", "a b")
    assert run_trial(job(tuning=SEARCH, command=program, **RUNS), "--seed=7") == (
        "/gcs/bucket/runs/3 ['--name', 'a b', '--seed=7']\n"
    )


def test_trials_without_checkpoints_run_the_program_itself() -> None:
    container = document(job(tuning=SEARCH))["trialJobSpec"]["workerPoolSpecs"][0]["containerSpec"]
    assert (container["command"], container["args"]) == (["python"], ["train.py"])


def run_trial(job_spec: JobSpec, *arguments: str) -> str:
    """Run the chief's program as Vertex AI runs it in the third trial; return what it prints."""
    container = document(job_spec)["trialJobSpec"]["workerPoolSpecs"][0]["containerSpec"]
    variables = {entry["name"]: entry["value"] for entry in container["env"]}
    return subprocess.check_output(
        [*container["command"], *container["args"], *arguments],
        env={**os.environ, **variables, "CLOUD_ML_TRIAL_ID": "3"},
        text=True,
    )


PARAMETERS = {
    "a range": (
        Hyperparameter(minimum=0.1, maximum=0.5),
        {"doubleValueSpec": {"minValue": 0.1, "maxValue": 0.5}, "scaleType": "UNIT_LINEAR_SCALE"},
    ),
    "from zero": (
        Hyperparameter(minimum=0, maximum=0.5),
        {"doubleValueSpec": {"maxValue": 0.5}, "scaleType": "UNIT_LINEAR_SCALE"},
    ),
    "orders of magnitude": (
        Hyperparameter(minimum=1e-5, maximum=0.1, scale="log"),
        {"doubleValueSpec": {"minValue": 1e-5, "maxValue": 0.1}, "scaleType": "UNIT_LOG_SCALE"},
    ),
    "close to one": (
        Hyperparameter(minimum=0.5, maximum=0.999, scale="reverse_log"),
        {
            "doubleValueSpec": {"minValue": 0.5, "maxValue": 0.999},
            "scaleType": "UNIT_REVERSE_LOG_SCALE",
        },
    ),
    "whole numbers": (
        Hyperparameter(minimum=-2, maximum=12, integer=True),
        {"integerValueSpec": {"minValue": -2, "maxValue": 12}, "scaleType": "UNIT_LINEAR_SCALE"},
    ),
    "some numbers": (
        Hyperparameter(values=(0, 16, 32.5), scale="log"),
        {"discreteValueSpec": {"values": [0.0, 16.0, 32.5]}, "scaleType": "UNIT_LOG_SCALE"},
    ),
    "some texts": (
        Hyperparameter(values=("float32", "mixed_bfloat16")),
        {"categoricalValueSpec": {"values": ["float32", "mixed_bfloat16"]}},
    ),
}


def search(parameters: dict[str, Hyperparameter], **fields: Any) -> dict[str, Any]:
    tuning = Tuning(**{"metric": "val_loss", "parameters": parameters, **fields})
    rendered = document(job(tuning=tuning))
    assert round_trip(rendered) == rendered
    return rendered


@pytest.mark.parametrize(("parameter", "expected"), PARAMETERS.values(), ids=PARAMETERS)
def test_a_parameter_is_searched(parameter: Hyperparameter, expected: dict[str, Any]) -> None:
    study_spec = search({"width": parameter})["studySpec"]
    assert study_spec["parameters"] == [{"parameterId": "width", **expected}]


def test_a_search_that_leaves_all_to_vertex_ai() -> None:
    rendered = search({"width": Hyperparameter(minimum=1, maximum=2)})
    assert rendered["studySpec"]["metrics"] == [{"metricId": "val_loss", "goal": "MINIMIZE"}]
    assert "algorithm" not in rendered["studySpec"]
    assert (rendered["maxTrialCount"], rendered["parallelTrialCount"]) == (10, 1)
    assert "maxFailedTrialCount" not in rendered


def test_a_search_that_leaves_nothing_to_vertex_ai() -> None:
    rendered = search(
        {"width": Hyperparameter(values=(64, 128)), "layers": Hyperparameter(values=(2, 4))},
        goal="maximize",
        algorithm="grid",
        trials=6,
        parallel_trials=3,
        failed_trials=2,
    )
    assert rendered["studySpec"]["metrics"] == [{"metricId": "val_loss", "goal": "MAXIMIZE"}]
    assert rendered["studySpec"]["algorithm"] == "GRID_SEARCH"
    assert (rendered["maxTrialCount"], rendered["parallelTrialCount"]) == (6, 3)
    assert rendered["maxFailedTrialCount"] == 2


def test_random_search() -> None:
    rendered = search({"width": Hyperparameter(minimum=1, maximum=2)}, algorithm="random")
    assert StudySpec.Algorithm[rendered["studySpec"]["algorithm"]] == 3


def test_each_trial_is_the_whole_job() -> None:
    rendered = search({"width": Hyperparameter(minimum=1, maximum=2)})
    assert rendered["trialJobSpec"] == document(job())["jobSpec"]
