"""Target local: the processes of a job on this machine, and their environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.unit.jobs.specs import spec
from tfps.cluster import addresses
from tfps.cluster.processes.plan import TaskProcess
from tfps.jobs.background.this_machine import processes, render
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec
from tfps.jobs.storage import Mount, Nfs, Volume
from tfps.jobs.tasks import cluster_at, name_of

CHECKPOINT_DIR = "TFPS_CHECKPOINT_DIR"
GPUS = {"worker": Role(replicas=2, gpus=2), "chief": Role(gpus=1)}


def environments(
    job: JobSpec, inherited: Mapping[str, str] | None = None
) -> dict[str, Mapping[str, str]]:
    cluster = cluster_at(job, lambda task: addresses.LOOPBACK)
    return {
        name_of(process.task): process.environment
        for process in processes(job, cluster, inherited or {})
    }


def of_evaluator(job: JobSpec) -> TaskProcess:
    cluster = cluster_at(job, lambda task: addresses.LOOPBACK)
    (*_, evaluator) = processes(job, cluster, {})
    return evaluator


def stored(volume: Volume, *, at: str, **fields: Any) -> JobSpec:
    """Make a job whose checkpoints lie on a volume."""
    return spec(
        volumes={"disk": volume},
        mounts=(Mount(volume="disk", path=at),),
        checkpoint_dir=f"{at}/run",
        **fields,
    )


def test_the_rendering_has_what_tasks_get_beside_what_they_find() -> None:
    job = spec(GPUS, env={"A": "b"})
    documents = render(job).documents
    assert [document["task"] for document in documents] == [
        "chief:0",
        "worker:0",
        "worker:1",
        "ps:0",
    ]
    inherited = environments(job, {"HOME": "/home/me"})
    for document in documents:
        assert {**document["env"], "HOME": "/home/me"} == inherited[document["task"]]
        assert document["command"] == ["python", "train.py"]
        assert document["restarts"] == 3


def test_gpus_are_counted_over_the_machine() -> None:
    result = environments(spec(GPUS))
    assert [env["CUDA_VISIBLE_DEVICES"] for env in result.values()] == ["0", "1,2", "3,4", "-1"]


def test_only_gpus_that_are_shown_are_taken() -> None:
    result = environments(spec(GPUS), {"CUDA_VISIBLE_DEVICES": "4,6"})
    assert [env["CUDA_VISIBLE_DEVICES"] for env in result.values()] == ["4", "6", "-1", "-1"]


@pytest.mark.parametrize("none", ["", "-1"])
def test_of_no_gpus_that_are_shown_none_is_taken(none: str) -> None:
    result = environments(spec({"worker": Role(gpus=1)}), {"CUDA_VISIBLE_DEVICES": none})
    assert result["worker:0"]["CUDA_VISIBLE_DEVICES"] in ("", "-1")


def test_what_the_user_has_set_goes_before_defaults_but_not_before_the_spec() -> None:
    mine = {"TF_CPP_MIN_LOG_LEVEL": "0", "OMP_NUM_THREADS": "9", "A": "mine", "TF_CONFIG": "{}"}
    result = environments(spec({"worker": Role(cpu=3)}, env={"A": "job"}), mine)["worker:0"]
    assert result["TF_CPP_MIN_LOG_LEVEL"] == "0"
    assert result["OMP_NUM_THREADS"] == "3"
    assert result["A"] == "job"
    assert result["TF_CONFIG"] != "{}"


@pytest.mark.parametrize(
    "job",
    [
        stored(Volume(host_path="/disk"), at="/disk"),
        stored(Volume(host_path="/disk/mine"), at="/disk/mine"),
        spec(checkpoint_dir="gs://bucket/run"),
    ],
)
def test_a_place_that_this_machine_has_keeps_the_checkpoints(job: JobSpec) -> None:
    assert environments(job)["chief:0"][CHECKPOINT_DIR] == job.checkpoint_dir
    assert "checkpoint_dir" not in [fault.where for fault in render(job).left_out]


@pytest.mark.parametrize(
    "volume",
    [
        Volume(claim="claim"),
        Volume(nfs=Nfs(server="files", path="/export")),
        Volume(gcs_bucket="bucket"),
        Volume(host_path="/elsewhere"),
    ],
)
def test_a_place_that_this_machine_may_not_have_is_left_out(volume: Volume) -> None:
    job = stored(volume, at="/checkpoints", roles={"evaluator": Role()})
    assert not [env for env in environments(job).values() if CHECKPOINT_DIR in env]
    left_out = {fault.where: fault.sentence for fault in render(job).left_out}
    assert "recipes then keep checkpoints in runs/" in left_out["checkpoint_dir"]
    assert "volumes.disk" in left_out


def test_the_job_does_not_fail_with_its_evaluator() -> None:
    job = spec({"evaluator": Role(restarts=1)}, checkpoint_dir="gs://bucket/run")
    evaluator = of_evaluator(job)
    assert (evaluator.task.type, evaluator.is_needed, evaluator.restarts) == ("evaluator", False, 1)


def test_hosts_are_left_out() -> None:
    job = spec({"chief": Role(hosts=("a",))})
    assert ("roles.chief.hosts", "all tasks run on this machine.") in [
        (fault.where, fault.sentence) for fault in render(job).left_out
    ]
