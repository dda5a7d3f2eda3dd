"""The record of a job: read as it was written, and refused if it is not a record."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import psutil
import pytest

from tests.unit.jobs.specs import spec
from tfps.errors import LaunchError
from tfps.jobs.background.record import JobFolder, JobRecord, Supervisor, TaskRecord
from tfps.jobs.platforms import Hyperparameter, Tuning
from tfps.jobs.role import Role, Toleration
from tfps.jobs.storage import Mount, Volume

RECORD = JobRecord(
    supervisor=Supervisor.this(),
    state="running",
    tasks=(
        TaskRecord(task_type="chief", index=0, state="succeeded", place="here"),
        TaskRecord(task_type="worker", index=3, restarts=2, message="waits"),
    ),
)


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    return JobFolder(tmp_path)


def test_a_record_is_read_as_it_was_written(folder: JobFolder) -> None:
    folder.write(RECORD)
    assert folder.read() == RECORD
    assert [path.name for path in folder.path.iterdir()] == ["record.json"]


def test_a_spec_is_read_as_it_was_written(folder: JobFolder) -> None:
    job = spec(
        {"worker": Role(tolerations=(Toleration(key="a"),), env={"A": "1"}, replicas=2)},
        volumes={"disk": Volume(host_path="/disk")},
        mounts=(Mount(volume="disk", path="/disk"),),
        checkpoint_dir="/disk/run",
        tuning=Tuning(metric="loss", parameters={"rate": Hyperparameter(minimum=1, maximum=2)}),
    )
    folder.write_spec(job)
    assert folder.read_spec() == job


def test_where_nothing_is_written_no_job_was_submitted(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="No job 'mine' was submitted on this machine"):
        JobFolder(tmp_path / "mine").read()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value"),
        ("\0", "Expecting value"),
        ("7", "7 is a number"),
        ("{}", "supervisor: it is missing"),
        (json.dumps({**dataclasses.asdict(RECORD), "tasks": []}), "tasks: there is none"),
        (json.dumps({**dataclasses.asdict(RECORD), "state": "done"}), "state: 'done' is not one"),
        (
            json.dumps({**dataclasses.asdict(RECORD), "tasks": [{"task_type": "x", "index": 0}]}),
            r"tasks\[0\].task_type: 'x' is no task type",
        ),
    ],
)
def test_what_is_no_record_is_told_with_the_way_out(text: str, why: str, folder: JobFolder) -> None:
    folder.record_file.write_text(text)
    with pytest.raises(LaunchError, match=rf"{why}[\s\S]*remove {folder.path}"):
        folder.read()


def test_a_process_is_known_by_its_number_and_its_start() -> None:
    this = Supervisor.this()
    assert this.process() == psutil.Process()
    assert dataclasses.replace(this, started_s=this.started_s - 60).process() is None
    assert not this.is_elsewhere
    assert dataclasses.replace(this, host="another").is_elsewhere


def test_a_process_that_has_ended_and_was_not_waited_for_is_gone() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    started_s = psutil.Process(child).create_time()
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    supervisor = dataclasses.replace(Supervisor.this(), pid=child, started_s=started_s)
    assert supervisor.process() is None
    os.waitpid(child, 0)
    assert supervisor.process() is None


def test_of_an_abandoned_job_what_was_not_over_has_failed() -> None:
    abandoned = RECORD.abandoned()
    assert (abandoned.state, abandoned.is_over) == ("failed", True)
    assert [task.state for task in abandoned.tasks] == ["succeeded", "failed"]
