"""Jobs in the background on this machine: restarts, states, logs, and their end."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cluster.local_jobs import FOREVER, UNTIL_GO, Job
from tests.cluster.processes import processes, program, until
from tfps.errors import LaunchError
from tfps.jobs.background import launcher
from tfps.jobs.background.record import Supervisor
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec, Roles

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Job]:
    monkeypatch.chdir(tmp_path)
    with processes(tmp_path) as ours:
        for name, value in ours.environment.items():
            monkeypatch.setenv(name, value)
        # This process has the mark, too, but not in the environment that it was started with.
        yield Job(tmp_path, ours)


def hasten(monkeypatch: pytest.MonkeyPatch, **patience: float) -> None:
    """Give the jobs that the test itself submits other waiting times, e.g. before_restart_s."""
    monkeypatch.setattr(launcher, "_SUPERVISOR", "tests.cluster.programs.hasty_supervisor")
    monkeypatch.setenv("TFPS_TEST_PATIENCE", json.dumps(patience))


def refused(job: Job, spec: JobSpec, *, dry_run: bool = False) -> str:
    with pytest.raises(LaunchError) as error:
        job.launcher.submit(spec, dry_run=dry_run)
    return str(error.value)


def test_a_job_is_seen_by_other_commands_from_its_start_to_after_its_end(job: Job) -> None:
    spec = job.spec(chief=f"echo begun; {UNTIL_GO}; printf done")
    assert job.tfps("submit", spec).wait(30) == 0
    assert job.processes.out(0) == "job\n"
    job.until_running()
    assert job.status().message == f"output in {job.written.path}"
    follower = job.tfps("logs", spec, "--follow")
    until(lambda: job.processes.out(1) == "begun\n")

    in_use = refused(job, spec)
    assert in_use == refused(job, spec, dry_run=True)
    assert "A job 'job' is running already" in in_use
    assert "Cancel it with tfps cancel, or give this one another name." in in_use
    job.go()

    assert follower.wait(30) == 0
    assert job.processes.out(1) == "begun\ndone\n"
    assert job.until_over().state == "succeeded"
    assert job.tfps("status", spec, "-o", "json").wait(30) == 0
    assert json.loads(job.processes.out(2))["state"] == "succeeded"
    states = [(status.state, status.message) for status in job.status().tasks]
    assert states == [("succeeded", "")] * 3
    assert job.log("chief 0") == ["begun", "done"]
    assert job.tfps("cancel", spec).wait(30) == 0
    assert "job had succeeded already" in job.processes.out(3)

    # Over the one that has ended.
    another = job.spec(chief="echo another; exit 7")
    assert job.tfps("submit", another, "--wait", "--poll-s", "0.1").wait(30) == 1
    assert "the chief ended with code 7" in job.processes.err(4)
    assert job.log("chief 0") == ["another"]


def test_a_killed_worker_and_ps_are_started_again_and_the_job_succeeds(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasten(monkeypatch, before_restart_s=0.1)
    job.submit(job.spec(worker=f"echo worker; {UNTIL_GO}", restarts=2))
    for name in ("worker 0", "ps 0"):
        job.until_running()
        os.kill(job.pid(name), signal.SIGKILL)
        until(lambda name=name: job.task(name).restarts == 1)  # type: ignore[misc]
    job.until_running()
    job.go()
    assert job.until_over().state == "succeeded"
    assert [status.restarts for status in job.status().tasks] == [0, 1, 1]
    assert job.log("worker 0") == [
        "worker",
        "tfps: worker 0 was ended by SIGKILL; restart 1 of 2 follows in 0.1 s.",
        "worker",
    ]


def test_a_chief_that_fails_is_started_again_with_what_it_left(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasten(monkeypatch, before_restart_s=0.1)
    job.submit(job.spec("[ -e seen ] && touch GO && exit; touch seen; exit 7", restarts=1))
    assert job.until_over().state == "succeeded"
    assert job.task("chief 0").restarts == 1


def test_a_job_ends_with_its_chiefs_last_failure(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch, before_restart_s=0.1)
    job.submit(job.spec("echo again; exit 7", restarts=2))
    status = job.until_over()
    assert status.state == "failed"
    assert "the chief ended with code 7 after 2 restarts" in status.message
    assert job.log("chief 0").count("again") == 3


@pytest.mark.parametrize(("failing", "code"), [("worker", 7), ("ps", 7), ("worker", 2)])
def test_a_job_fails_with_a_task_that_is_not_started_again(
    failing: str, code: int, job: Job
) -> None:
    # Code 2 says that the program was started wrongly; the second time would be no better.
    restarts = 3 if code == 2 else 0
    spec = job.spec(**{failing: f"echo no >&2; exit {code}"}, restarts=restarts)  # type: ignore[arg-type]
    job.submit(spec)
    status = job.until_over()
    assert status.state == "failed"
    assert status.message.startswith(f"{failing} 0 ended with code {code}, output in")
    assert job.task(f"{failing} 0").message == f"ended with code {code}"
    assert job.log(f"{failing} 0") == ["no"]


def test_a_job_does_not_fail_with_its_evaluator(job: Job) -> None:
    job.submit(job.spec(more={"evaluator": "exit 7"}, checkpoint_dir="gs://b/run"))
    until(lambda: job.task("evaluator 0").state == "failed")
    job.go()
    assert job.until_over().state == "succeeded"


def test_tasks_that_stay_when_the_chief_has_ended_are_ended(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasten(monkeypatch, after_chief_s=0.3)
    job.submit(job.spec(chief="exit 0", worker=FOREVER, ps=FOREVER))
    assert job.until_over().state == "succeeded"
    states = [(status.state, status.message) for status in job.status().tasks]
    assert states == [("succeeded", ""), *[("cancelled", "was ended by SIGTERM")] * 2]


def test_a_job_ends_when_its_time_is_over(job: Job) -> None:
    job.submit(job.spec(timeout_s=1, restarts=3))
    status = job.until_over()
    assert status.state == "failed"
    assert "its time of 1 s is over" in status.message
    assert {task.restarts for task in status.tasks} == {0}


def test_cancel_ends_stubborn_tasks_and_what_they_started(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasten(monkeypatch, after_signal_s=1)
    stubborn = "trap '' TERM; sleep 600 & setsid sleep 600 & echo begun; wait; sleep 600"
    job.submit(job.spec(worker=stubborn, restarts=3))
    until(lambda: job.log("worker 0") == ["begun"])
    said = job.launcher.cancel(job.spec())
    assert said == f"job cancelled: no task is left. Its output stays in {job.written.path}."
    job.processes.until_gone()
    assert job.status().state == "cancelled"
    assert job.task("worker 0").message == "was ended by SIGKILL"
    assert {task.restarts for task in job.status().tasks} == {0}


@pytest.mark.parametrize("child_too", [False, True])
def test_the_tasks_end_with_a_killed_supervisor_which_status_tells(
    child_too: bool, job: Job
) -> None:
    job.submit(job.spec(restarts=3))
    job.until_running()
    follower = job.tfps("logs", job.spec(), "--task", "worker:0", "--follow")
    supervisor = psutil.Process(job.written.read().supervisor.pid)
    [child] = supervisor.children()
    if child_too:
        child.suspend()  # So that it cannot write anything more.
        supervisor.kill()
        child.kill()
    else:
        supervisor.kill()
    job.processes.until_gone()
    assert follower.wait(10) == 0
    status = job.status()
    assert status.state == "failed"
    assert status.message.startswith("the process that ran it was killed, and with it its tasks")
    assert not {task.state for task in status.tasks} & {"running", "pending"}
    assert "job had failed already" in job.launcher.cancel(job.spec())
    job.submit(job.spec(chief="touch GO"))
    assert job.until_over().state == "succeeded"


def test_a_job_goes_on_where_nothing_more_can_be_written_down(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasten(monkeypatch, before_restart_s=0.1)
    worker = f"[ -e seen ] || {{ touch seen; exit 7; }}; touch back; {UNTIL_GO}; touch end"
    job.submit(job.spec(worker=f"until [ -e gone ]; do sleep 0.05; done; {worker}", restarts=1))
    job.until_running()
    job.written.record_file.with_suffix(".new").mkdir()
    (job.folder / "gone").touch()
    until((job.folder / "back").exists)
    job.go()
    until((job.folder / "end").exists)
    job.processes.until_gone()
    log = job.written.supervisor_log.read_text()
    assert "the state of the job cannot be recorded: [Errno 21] Is a directory" in log
    assert "Traceback" not in log


def test_of_two_submits_at_once_one_is_refused(job: Job) -> None:
    spec = job.spec(FOREVER, FOREVER, FOREVER)
    submits = [job.tfps("submit", spec) for _ in range(4)]
    assert sorted(submit.wait(60) for submit in submits) == [0, 1, 1, 1]
    said = [job.processes.err(number) for number in range(4)]
    # A job is pending until its supervisor has started the tasks.
    assert sum(bool(re.search("is (pending|running) already", text)) for text in said) == 3
    job.until_running()
    assert len(job.processes.living()) == 2 + 3
    job.launcher.cancel(spec)


def test_a_strange_process_with_the_supervisors_number_is_left_alone(job: Job) -> None:
    job.submit(job.spec(chief="touch GO"))
    job.until_over()
    stranger = job.processes.start(["sleep", "600"])
    mine = Supervisor.this()
    record = job.written.read()
    for supervisor, state in (
        (dataclasses.replace(mine, pid=stranger.pid, started_s=mine.started_s - 600), "failed"),
        (dataclasses.replace(mine, pid=stranger.pid, host="elsewhere"), "unknown"),
    ):
        changed = dataclasses.replace(record, supervisor=supervisor, state="running")
        job.written.write(changed)
        assert job.status().state == state
    assert "it was started on elsewhere" in job.status().message
    assert "is unknown already (it was started on elsewhere" in refused(job, job.spec())
    with pytest.raises(LaunchError, match="cannot be ended: it was started on elsewhere"):
        job.launcher.cancel(job.spec())
    assert stranger.poll() is None


def test_what_was_not_made_for_a_job_is_not_touched(job: Job) -> None:
    assert socket.gethostname() == Supervisor.this().host
    job.written.path.mkdir(parents=True)
    (job.written.path / "thesis.tex").touch()
    assert f"{job.written.path} was not made for a job" in refused(job, job.spec())
    job.written.record_file.write_text("{")
    assert "is no record of a job" in refused(job, job.spec())
    assert (job.written.path / "thesis.tex").exists()


def test_a_folder_that_cannot_be_written_is_told_with_the_way_out(job: Job) -> None:
    job.launcher.state.touch()
    assert "set XDG_STATE_HOME to one that can be written" in refused(job, job.spec())


def test_programs_that_are_not_there_are_told_before_anything_starts(job: Job) -> None:
    (job.folder / "train.py").touch()
    roles = Roles(
        chief=Role(command=("./train.py",)),
        ps=Role(command=("no-such-program",)),
        worker=Role(command=("no-such-program",)),
    )
    for dry_run in (True, False):
        said = refused(job, JobSpec(name="job", roles=roles), dry_run=dry_run)
        assert said.splitlines() == [
            "'./train.py' is not executable. Write python ./train.py",
            "program 'no-such-program' was not found. Give its path, or one that is on PATH.",
        ]
    assert not job.launcher.state.exists()


def test_a_dry_run_starts_and_writes_nothing(job: Job) -> None:
    assert job.launcher.submit(job.spec(), dry_run=True) == "job"
    assert not job.launcher.state.exists()


def test_python_is_the_one_that_runs_tfps(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    (job.folder / "json.py").write_text("raise SystemExit('shadowed')")
    role = Role(command=("python", "-P", "-c", "import sys, tfps; print(sys.executable)"))
    job.submit(JobSpec(name="job", roles=Roles(chief=role, ps=role, worker=role)))
    assert job.until_over().state == "succeeded"
    assert os.path.dirname(job.log("chief 0")[0]) == os.path.dirname(sys.executable)


# test_evaluator.py trains with `tfps local`, which starts and ends the tasks in the same way.
@pytest.mark.slow
def test_a_script_of_tfps_run_trains(job: Job) -> None:
    role = Role(command=tuple(program("train.py")), restarts=0)
    job.submit(JobSpec(name="job", roles=Roles(chief=role, ps=role, worker=role)))
    until(lambda: job.status().is_over, deadline_s=90)
    assert job.status().state == "succeeded", job.log("chief 0")
    assert "steps: 20" in job.log("chief 0")
    assert {task.state for task in job.status().tasks} == {"succeeded"}
    job.processes.until_gone()
