"""Jobs over ssh: they train, and no task outlives its connection."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cluster import ssh_hosts
from tests.cluster.processes import Processes, processes, program, until
from tfps.cluster.spec import Task
from tfps.errors import JobSpecError, LaunchError
from tfps.jobs.background.record import JobFolder
from tfps.jobs.background.ssh import SshLauncher
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec, Roles
from tfps.jobs.targets import JobStatus

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        bool(ssh_hosts.missing()),
        reason=f"needs Debian's openssh-server: no {', '.join(ssh_hosts.missing())}",
    ),
]

HOSTS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
WORKER = Task(type="worker", index=0)
# The shell and what it starts ignore SIGTERM.
STUBBORN = "trap '' TERM; sleep 600 & echo $$ begun; wait; sleep 600"


@dataclasses.dataclass
class Job:
    """A job of a test on hosts, and the processes that are started for it."""

    folder: Path
    processes: Processes

    @property
    def launcher(self) -> SshLauncher:
        return SshLauncher(state=self.folder / "state")

    def spec(self, restarts: int = 0, **scripts: str) -> JobSpec:
        roles = {
            kind: Role(
                command=("sh", "-c", scripts.get(kind, "exec sleep 600")),
                hosts=(host,),
                restarts=restarts,
            )
            for kind, host in zip(("chief", "worker", "ps"), HOSTS, strict=True)
        }
        return JobSpec(name="job", roles=Roles(**roles))

    def submit(self, spec: JobSpec) -> None:
        assert self.launcher.submit(spec, dry_run=False) == "job"

    def status(self) -> JobStatus:
        return self.launcher.status(self.spec())

    def log(self, task: Task = WORKER) -> list[str]:
        return list(self.launcher.logs(self.spec(), task, follow=False))

    def until_over(self, *, deadline_s: float = 30.0) -> JobStatus:
        until(lambda: self.status().is_over, deadline_s=deadline_s)
        self.processes.until_gone()
        return self.status()


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Job]:
    monkeypatch.chdir(tmp_path)
    with processes(tmp_path) as ours:
        for name, value in ours.environment.items():
            monkeypatch.setenv(name, value)
        keys = tmp_path / "keys"
        keys.mkdir()
        with ssh_hosts.ssh_hosts(keys, HOSTS, ours.environment) as client:
            monkeypatch.setenv("PATH", str(client), prepend=os.pathsep)
            yield Job(tmp_path, ours)
            ours.kill()


@pytest.mark.slow
def test_a_job_trains_on_its_hosts(job: Job) -> None:
    command = tuple(program("train.py"))
    roles: dict[str, Any] = {
        "chief": Role(hosts=HOSTS[:1]),
        "worker": Role(replicas=2, hosts=HOSTS[:2]),
        "ps": Role(hosts=HOSTS[2:]),
    }
    job.submit(JobSpec(name="job", command=command, roles=Roles(**roles)))
    status = job.until_over(deadline_s=90)
    assert status.state == "succeeded", job.log(Task(type="chief", index=0))
    assert "steps: 20" in job.log(Task(type="chief", index=0))
    assert [task.place for task in status.tasks] == [HOSTS[0], HOSTS[0], HOSTS[1], HOSTS[2]]
    assert {task.state for task in status.tasks} == {"succeeded"}


def test_tasks_run_in_the_folder_that_the_job_was_submitted_from(job: Job) -> None:
    job.submit(job.spec(chief="pwd; command -v python; exit 7"))
    assert "the chief ended with code 7" in job.until_over().message
    folder, python = job.log(Task(type="chief", index=0))
    assert folder == str(job.folder)
    assert Path(python).parent == Path(sys.executable).parent


def test_a_task_that_fails_or_loses_its_connection_is_started_again(job: Job) -> None:
    job.submit(job.spec(worker="echo $$ begun; exec sleep 600", restarts=2))
    until(lambda: len(job.log()) == 1)
    os.kill(int(job.log()[0].split()[0]), signal.SIGKILL)
    until(lambda: sum("begun" in line for line in job.log()) == 2)
    assert "worker 0 ended with code 137; restart 1 of 2" in job.log()[1]
    first = int(job.log()[-1].split()[0])
    [client] = [
        process
        for process in job.processes.living()
        if process.name() == "ssh" and HOSTS[1] in process.cmdline()
    ]
    client.kill()
    until(lambda: sum("begun" in line for line in job.log()) == 3)
    assert not psutil.pid_exists(first)
    assert job.launcher.cancel(job.spec()).startswith("job cancelled: no task is left.")
    job.processes.until_gone()


def test_cancel_ends_stubborn_tasks_on_their_hosts(job: Job) -> None:
    job.submit(job.spec(worker=STUBBORN, restarts=3))
    until(lambda: len(job.log()) == 1)
    assert job.launcher.cancel(job.spec()).startswith("job cancelled: no task is left.")
    job.processes.until_gone()
    assert [task.restarts for task in job.status().tasks] == [0, 0, 0]


def test_a_task_on_a_host_ends_with_a_killed_supervisor(job: Job) -> None:
    job.submit(job.spec(worker=STUBBORN))
    until(lambda: len(job.log()) == 1)
    folder = JobFolder(job.launcher.state / "tfps" / "ssh" / "job")
    os.kill(folder.read().supervisor.pid, signal.SIGKILL)
    job.processes.until_gone()
    assert job.status().state == "failed"


def test_hosts_that_cannot_run_their_tasks_are_told_before_anything_starts(job: Job) -> None:
    roles = Roles(
        chief=Role(command=("true",), hosts=("127.0.0.9",)),
        worker=Role(command=("no-such-program",), hosts=(HOSTS[1],)),
        ps=Role(command=("true",), hosts=(HOSTS[2],)),
    )
    for dry_run in (True, False):
        with pytest.raises(LaunchError) as error:
            job.launcher.submit(JobSpec(name="job", roles=roles), dry_run=dry_run)
        nobody, without = str(error.value).splitlines()
        assert nobody.startswith("127.0.0.9: ssh: connect to host 127.0.0.9")
        assert without == f"{HOSTS[1]}: program no-such-program was not found"
    assert not job.launcher.state.exists()


def test_a_job_without_hosts_is_refused(job: Job) -> None:
    roles = Roles(ps=Role(), worker=Role())
    with pytest.raises(JobSpecError, match="there are no hosts"):
        job.launcher.submit(JobSpec(name="job", command=("true",), roles=roles), dry_run=True)
