"""Job specs made in Python."""

from __future__ import annotations

import dataclasses

import pytest

from tests.unit.jobs.specs import spec
from tfps.errors import Fault, JobSpecError
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec, Roles
from tfps.jobs.storage import Mount, Volume
from tfps.jobs.tasks import environment, tasks


def faults_of(error: pytest.ExceptionInfo[JobSpecError]) -> list[str]:
    return [fault.where for fault in error.value.faults]


def test_a_role_tells_all_its_faults() -> None:
    with pytest.raises(JobSpecError) as raised:
        Role(replicas=0, cpu=-1, gpus=-2, command=(), ports={"web": 80}, env={"A B": ""})
    assert faults_of(raised) == ["replicas", "cpu", "gpus", "command", "env.A B", "ports.web"]


def test_the_error_is_a_value_error_whose_text_has_all_faults() -> None:
    with pytest.raises(ValueError, match=r"^replicas: 0 is too few\. Give at least 1\.$"):
        Role(replicas=0)


def test_a_fault_writes_its_path() -> None:
    fault = Fault(("path",), "wrong.").below("roles", "ps", "mounts", 0)
    assert str(fault) == "roles.ps.mounts[0].path: wrong."
    assert str(Fault((), "wrong.")) == "wrong."


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec().name = "other"  # type: ignore[misc]


def test_roles_come_in_the_order_of_task_types() -> None:
    job = spec({"evaluator": Role(), "ps": Role(replicas=2)}, checkpoint_dir="gs://bucket/runs")
    assert [task_type for task_type, _ in job.roles] == ["chief", "worker", "ps", "evaluator"]
    assert [str(task) for task in tasks(job)] == [
        "chief 0",
        "worker 0",
        "ps 0",
        "ps 1",
        "evaluator 0",
    ]


def test_a_role_goes_before_the_job() -> None:
    role = Role(
        image="other:1", command=("tfps", "task"), env={"SEED": "2", "OMP_NUM_THREADS": "1"}
    )
    job = spec({"worker": role}, env={"SEED": "1", "DEBUG": "1"}, checkpoint_dir="gs://bucket")
    assert job.image_of(role) == "other:1"
    assert job.command_of(role) == ("tfps", "task")
    result = environment(job, "worker", role)
    assert (result["SEED"], result["DEBUG"], result["OMP_NUM_THREADS"]) == ("2", "1", "1")
    assert result["TFPS_CHECKPOINT_DIR"] == "gs://bucket"


def test_the_innermost_mount_holds_a_path() -> None:
    outer, inner = Mount(volume="a", path="/runs"), Mount(volume="b", path="/runs/fast/")
    job = spec(volumes={"a": Volume(claim="a"), "b": Volume(memory_gib=1.0)}, mounts=(outer, inner))
    assert job.mount_of("/runs/one", job.roles.chief) == outer
    assert job.mount_of("/runs/fast", job.roles.chief) == inner
    assert job.mount_of("/runs/fast/x", job.roles.chief) == inner
    assert job.mount_of("/runs2", job.roles.chief) is None


@pytest.mark.parametrize("path", ["gs://bucket/runs", "s3://bucket", "hdfs://host:9000/runs"])
def test_checkpoints_at_a_url_need_no_volume(path: str) -> None:
    assert spec({"evaluator": Role()}, checkpoint_dir=path).checkpoint_dir == path


def test_checkpoints_need_a_mount_on_every_task_that_has_them() -> None:
    with pytest.raises(JobSpecError, match="evaluator mounts"):
        spec(
            {
                "chief": Role(mounts=(Mount(volume="runs", path="/runs"),)),
                "evaluator": Role(),
            },
            volumes={"runs": Volume(claim="runs")},
            checkpoint_dir="/runs",
        )


def test_checkpoints_on_a_read_only_mount_are_refused() -> None:
    with pytest.raises(JobSpecError, match="cannot write"):
        spec(
            volumes={"runs": Volume(claim="runs")},
            mounts=(Mount(volume="runs", path="/runs", read_only=True),),
            checkpoint_dir="/runs",
        )


@pytest.mark.parametrize("name", ["a", "gpt-lm", "a" * 40, "x1"])
def test_names_that_all_platforms_take(name: str) -> None:
    assert spec(name=name).name == name


@pytest.mark.parametrize("name", ["", "A", "1a", "a-", "a_b", "a.b", "a" * 41, "ä"])
def test_names_that_some_platform_refuses(name: str) -> None:
    with pytest.raises(JobSpecError):
        spec(name=name)


def test_every_public_class_says_what_its_fields_are() -> None:
    for cls in (JobSpec, Roles, Role, Volume, Mount):
        described = str(cls.__doc__)
        assert all(f"        {field.name}: " in described for field in dataclasses.fields(cls))
